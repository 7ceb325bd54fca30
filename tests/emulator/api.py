"""Asking an emulator over plain HTTP, by none of our own client."""

from typing import Any

import aiohttp

from aiolosant.emulator import Emulator


class Api:
    """Asks an emulator and hands out status and JSON."""

    def __init__(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.root = f"{emulator.url}/applications/{emulator.application_id}/experience/groups"
        self.headers = {"Authorization": f"Bearer {emulator.token}"}

    async def __call__(
        self, method: str, path: str = "", *, json: Any = None, data: Any = None, **params: str
    ) -> tuple[int, Any]:
        url = path if path.startswith("http") else self.root + path
        async with self.session.request(
            method, url, params=params, json=json, data=data, headers=self.headers
        ) as response:
            return response.status, await response.json()

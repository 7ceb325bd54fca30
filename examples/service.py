"""A service that signs customers up, however many replicas of it there are: python examples/service.py."""

from collections.abc import AsyncIterator

from aiohttp import web

from aiolosant import DuplicateGroupError, LosantClient, LosantError, NewExperienceGroup, NotFoundError, by_tag

LOSANT = web.AppKey("losant", LosantClient)


async def losant(app: web.Application) -> AsyncIterator[None]:
    async with LosantClient.from_env() as client:  # one for the life of the service
        app[LOSANT] = client
        yield


async def sign_up(request: web.Request) -> web.Response:
    try:
        order = await request.json()
        new = NewExperienceGroup(name=order["company"], group_tags={"customerId": order["customer"]})
    except (KeyError, TypeError, ValueError) as problem:  # no JSON, a field is missing, or Losant would refuse it
        raise web.HTTPUnprocessableEntity(text=f"not a valid order: {problem}") from None
    # However often it is asked for, and however many replicas are asked at the same moment: there is one group. That
    # takes two to three seconds, twice that if another replica is at it, unless the group has been there for long.
    groups = request.app[LOSANT].experience_groups
    try:
        group = await groups.create(new, unique_by=by_tag("customerId"), contested=True)
    except DuplicateGroupError as error:  # somebody has to look: to try again does not help
        raise web.HTTPConflict(text=str(error)) from None
    except LosantError as error:  # out of reach, or refused for longer than the call has time
        raise web.HTTPServiceUnavailable(text=str(error)) from None
    return web.json_response({"group": group.id})


async def show(request: web.Request) -> web.Response:
    try:
        group = await request.app[LOSANT].experience_groups.get(request.match_info["id"])
    except (NotFoundError, ValueError):  # no such group, or no id at all
        raise web.HTTPNotFound from None
    return web.json_response({"name": group.name, "tags": group.group_tags})


async def listed(request: web.Request) -> web.Response:
    """Twenty groups by their ids, from behind the one that the caller has seen last."""
    groups = request.app[LOSANT].experience_groups
    try:
        page = await groups.scan(after=request.query.get("after"), per_page=20).to_list(20)
    except ValueError as problem:  # no id
        raise web.HTTPUnprocessableEntity(text=str(problem)) from None
    return web.json_response([{"id": group.id, "name": group.name} for group in page])


def service() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(losant)
    app.add_routes([web.post("/customers", sign_up), web.get("/groups/{id}", show), web.get("/groups", listed)])
    return app


if __name__ == "__main__":
    web.run_app(service())

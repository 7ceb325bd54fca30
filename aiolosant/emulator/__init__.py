"""An embedded Losant to rehearse and test against; it shares no code with the client."""

from .server import Emulator, RequestRecord

__all__ = ["Emulator", "RequestRecord"]

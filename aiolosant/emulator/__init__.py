"""An embedded Losant to rehearse and test against; it shares no code with the client."""

from .faults import Fault
from .server import Emulator, RequestRecord

__all__ = ["Emulator", "Fault", "RequestRecord"]

"""An embedded Losant to rehearse and test against; it shares no code with the client."""

from .emulator import Emulator, RequestRecord
from .faults import Fault

__all__ = ["Emulator", "Fault", "RequestRecord"]

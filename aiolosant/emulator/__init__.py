"""An embedded Losant to rehearse and test against; it shares no code with the client."""

from .controls import RequestRecord
from .emulator import Emulator
from .faults import Fault
from .quirks import QUIRKS
from .state import Snapshot

__all__ = ["QUIRKS", "Emulator", "Fault", "RequestRecord", "Snapshot"]

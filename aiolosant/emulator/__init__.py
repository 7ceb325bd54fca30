"""An embedded Losant to rehearse and test against; it shares no code with the client."""

from .emulator import Emulator
from .faults import Fault
from .quirks import QUIRKS
from .request_record import RequestRecord
from .state import Snapshot

__all__ = ["QUIRKS", "Emulator", "Fault", "RequestRecord", "Snapshot"]

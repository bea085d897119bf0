"""What programs in a container have written, as the engine sends it: in frames, each with its stream and its length."""

import struct
from dataclasses import dataclass, field

HEAD = struct.Struct(">BxxxL")
MOST = 256 * 1024  # bytes that are kept


@dataclass
class Frames:
    """Takes the bytes as they come; `text` is what both streams said, up to the limit."""

    _kept: bytearray = field(default_factory=bytearray)
    _rest: bytearray = field(default_factory=bytearray)

    def take(self, part: bytes) -> None:
        self._rest += part
        while len(self._rest) >= HEAD.size:
            length = HEAD.unpack_from(self._rest)[1]
            if len(self._rest) < HEAD.size + length:
                return
            self._kept += self._rest[HEAD.size : HEAD.size + length][: MOST - len(self._kept)]
            del self._rest[: HEAD.size + length]

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")

"""Docker's multiplexed stream, taken apart: bytes in any pieces in, what each stream said out. Pure."""

import struct

_HEADER = struct.Struct(">BxxxL")
"""Stream number, three zeroes, length of what follows (Engine API, ContainerAttach)."""
_STDOUT = 1


class Frames:
    """Takes pieces of a multiplexed stream as they come, wherever they were cut.

    Attributes:
        stdout: what the program printed and nobody took yet.
        stderr: what it complained of and nobody took yet.
    """

    def __init__(self) -> None:
        """Begin before the first byte."""
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._header = bytearray()
        self._into = self.stdout
        self._left = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece; what it holds of a frame is given out at once, the rest when it comes."""
        view = memoryview(piece)
        while view:
            if not self._left:
                wanted = _HEADER.size - len(self._header)
                self._header += view[:wanted]
                view = view[wanted:]
                if len(self._header) < _HEADER.size:
                    return
                number, self._left = _HEADER.unpack(self._header)
                self._into = self.stdout if number == _STDOUT else self.stderr
                self._header.clear()
            else:
                taken = view[: self._left]
                self._into += taken
                self._left -= len(taken)
                view = view[len(taken) :]

    def take(self, at_most: int) -> bytes:
        """Up to so many bytes of stdout, which are then no longer kept; empty when there are none."""
        given = bytes(self.stdout[:at_most])
        del self.stdout[:at_most]
        return given

    def take_all(self) -> tuple[bytes, bytes]:
        """All of stdout and of stderr that came so far, which are then no longer kept."""
        given = bytes(self.stdout), bytes(self.stderr)
        self.stdout.clear()
        self.stderr.clear()
        return given

    @property
    def cut(self) -> bool:
        """Whether a frame has begun and is not complete: a stream that ends here was torn off."""
        return bool(self._left or self._header)

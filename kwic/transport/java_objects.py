"""Finds the end of one serialized Java object (Java Object Serialization Specification, version 5).

A JCEKS store may hold secret keys, as serialized ``SealedObject`` without a length in front. TLS has no use for them;
the only way to the entry behind is to walk the object. Nothing is built and no class is looked at: only the grammar of
what a sealed key consists of is known, everything else is an error.
"""

from __future__ import annotations

from kwic.transport.bounded_reader import BoundedReader, ShortError

_MAGIC = bytes.fromhex("aced0005")
_NULL, _REFERENCE, _CLASS, _OBJECT, _STRING, _ARRAY = 0x70, 0x71, 0x72, 0x73, 0x74, 0x75
_BLOCK_DATA, _END_BLOCK_DATA, _LONG_STRING = 0x77, 0x78, 0x7C
_PRIMITIVE_BYTES = {
    ord("B"): 1,
    ord("C"): 2,
    ord("D"): 8,
    ord("F"): 4,
    ord("I"): 4,
    ord("J"): 8,
    ord("S"): 2,
    ord("Z"): 1,
}
_SERIALIZABLE, _WRITE_METHOD = 0x02, 0x01
_DEPTH_LIMIT = 16  # a sealed key is 3 deep
_HANDLE_LIMIT = 256  # a sealed key needs about a dozen
_FIRST_HANDLE = 0x7E0000


class _ClassShape:
    """The fields of a class in the order their values come, and the class above it."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.flags = 0
        self.fields: list[int] = []
        self.parent: _ClassShape | None = None


class JavaObjectSkipper:
    """Moves a reader behind one serialized object."""

    def __init__(self, reader: BoundedReader) -> None:
        """:param reader: stands before the stream magic."""
        self._reader = reader
        self._handles: list[_ClassShape | None] = []

    def skip(self) -> None:
        """:raises ShortError: the stream is cut short, too deep, or has something that no sealed key has."""
        if self._reader.take(4) != _MAGIC:
            raise ShortError("no serialized object where one was expected")
        self._value(0)

    def _value(self, depth: int) -> None:
        if depth > _DEPTH_LIMIT:
            raise ShortError("a serialized object nested too deeply")
        tag = self._reader.u8()
        if tag == _NULL:
            return
        if tag == _REFERENCE:
            self._reader.u32()
        elif tag == _STRING:
            self._remember(None)
            self._reader.take(self._reader.u16())
        elif tag == _LONG_STRING:
            self._remember(None)
            self._reader.take(self._reader.u64())
        elif tag == _ARRAY:
            self._array(depth)
        elif tag == _OBJECT:
            self._object(depth)
        else:
            raise ShortError(f"a serialized object with an unknown part {tag:#x}")

    def _remember(self, shape: _ClassShape | None) -> None:
        if len(self._handles) >= _HANDLE_LIMIT:
            raise ShortError("a serialized object with too many parts")
        self._handles.append(shape)

    def _class(self, depth: int) -> _ClassShape | None:
        if depth > _DEPTH_LIMIT:
            raise ShortError("a serialized class nested too deeply")
        tag = self._reader.u8()
        if tag == _NULL:
            return None
        if tag == _REFERENCE:
            handle = self._reader.u32() - _FIRST_HANDLE
            if not 0 <= handle < len(self._handles):
                raise ShortError("a serialized object refers to what is not there")
            return self._handles[handle]
        if tag != _CLASS:
            raise ShortError(f"a serialized object with an unknown class {tag:#x}")
        return self._new_class(depth)

    def _new_class(self, depth: int) -> _ClassShape:
        shape = _ClassShape(self._reader.take(self._reader.u16()))
        self._reader.u64()  # serialVersionUID
        self._remember(shape)
        shape.flags = self._reader.u8()
        for _ in range(self._reader.u16()):
            kind = self._reader.u8()
            self._reader.take(self._reader.u16())  # the field's name
            if kind in b"[L":
                self._value(depth + 1)  # its type, as a string
            elif kind not in _PRIMITIVE_BYTES:
                raise ShortError(f"a serialized class with an unknown kind of field {kind:#x}")
            shape.fields.append(kind)
        self._annotation(depth)
        shape.parent = self._class(depth + 1)
        return shape

    def _annotation(self, depth: int) -> None:
        """Block data and objects up to the end mark: what a class wrote on its own."""
        while (tag := self._reader.u8()) != _END_BLOCK_DATA:
            if tag == _BLOCK_DATA:
                self._reader.take(self._reader.u8())
            else:
                self._reader.back(1)
                self._value(depth + 1)

    def _array(self, depth: int) -> None:
        shape = self._class(depth + 1)
        self._remember(None)
        size = _PRIMITIVE_BYTES.get(shape.name[1]) if shape and len(shape.name) > 1 else None
        if size is None:
            raise ShortError("a serialized array of objects")
        self._reader.take(self._reader.u32() * size)

    def _object(self, depth: int) -> None:
        shape = self._class(depth + 1)
        self._remember(None)
        shapes: list[_ClassShape] = []
        while shape is not None:
            shapes.append(shape)
            if len(shapes) > _DEPTH_LIMIT:
                raise ShortError("a serialized class nested too deeply")
            shape = shape.parent
        for level in reversed(shapes):
            self._fields(level, depth)

    def _fields(self, shape: _ClassShape, depth: int) -> None:
        if not shape.flags & _SERIALIZABLE:
            raise ShortError("a serialized object of a class that cannot be walked")
        for kind in shape.fields:
            if kind in _PRIMITIVE_BYTES:
                self._reader.take(_PRIMITIVE_BYTES[kind])
            else:
                self._value(depth + 1)
        if shape.flags & _WRITE_METHOD:
            self._annotation(depth)

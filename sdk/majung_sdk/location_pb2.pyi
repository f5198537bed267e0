from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Position(_message.Message):
    __slots__ = ("rider_id", "latitude", "longitude", "device_time_ms", "seq", "accuracy_m", "speed_mps", "heading_deg", "session_id", "tags")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RIDER_ID_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_M_FIELD_NUMBER: _ClassVar[int]
    SPEED_MPS_FIELD_NUMBER: _ClassVar[int]
    HEADING_DEG_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    rider_id: str
    latitude: float
    longitude: float
    device_time_ms: int
    seq: int
    accuracy_m: float
    speed_mps: float
    heading_deg: float
    session_id: str
    tags: _containers.ScalarMap[str, str]
    def __init__(self, rider_id: _Optional[str] = ..., latitude: _Optional[float] = ..., longitude: _Optional[float] = ..., device_time_ms: _Optional[int] = ..., seq: _Optional[int] = ..., accuracy_m: _Optional[float] = ..., speed_mps: _Optional[float] = ..., heading_deg: _Optional[float] = ..., session_id: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ...) -> None: ...

class StreamAck(_message.Message):
    __slots__ = ("last_acked_seq",)
    LAST_ACKED_SEQ_FIELD_NUMBER: _ClassVar[int]
    last_acked_seq: int
    def __init__(self, last_acked_seq: _Optional[int] = ...) -> None: ...

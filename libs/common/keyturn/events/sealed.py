"""A secret inside an event: only its ciphertext is ever in the model, its repr, its JSON and the broker's message."""

from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")


class Sealed(Generic[T]):
    """Ciphertext of a value of type `T`. `keyturn.sealing.KeyRing` makes and opens it; this class cannot."""

    __slots__ = ("ciphertext",)

    def __init__(self, ciphertext: str) -> None:
        self.ciphertext = ciphertext

    def __repr__(self) -> str:
        return f"Sealed({self.ciphertext[:12]}…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and self.ciphertext == other.ciphertext

    def __hash__(self) -> int:
        return hash(self.ciphertext)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(pattern=r"^x1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(cls, text),
            python_schema=core_schema.union_schema(
                [core_schema.is_instance_schema(cls), core_schema.no_info_after_validator_function(cls, text)]
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda sealed: sealed.ciphertext),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "description": "Sealed: XChaCha20-Poly1305 ciphertext, `x1.<key id>.<base64url>`."}

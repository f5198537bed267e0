"""The description of the HTTP API, OpenAPI 3.1, made of the handlers themselves.

Litestar lists the operations; what it does not know is added here: schemas by msgspec, which is what reads
and writes the bodies (bounds, refused unknown fields, docstrings), the problems that a caller can meet, who
must sign in, and examples. Nothing is said twice: whether an operation asks for a token follows from the
handler's own arguments.
"""

import inspect
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, get_args

import msgspec
from litestar import Litestar
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.params import ParameterKwarg
from litestar.routes import HTTPRoute
from litestar.types import Method
from litestar.typing import FieldDefinition

import majung
from majung.serve.http import openapi_words as words
from majung.serve.http.openapi_examples import EXAMPLES
from majung.serve.http.problems import MEDIA_TYPE, Problem

Json = dict[str, Any]

_REF = "#/components/schemas/{name}"
_INJECTED = ("services", "principal")
_METHODS = ("get", "put", "post", "patch", "delete")


def describe(handlers: Iterable[Any]) -> Json:
    """The OpenAPI document of these route handlers. The same handlers give the same document."""
    by_id: dict[str, HTTPRouteHandler] = {}

    def operation_id(handler: HTTPRouteHandler, method: Method, path: list[Any]) -> str:
        name = handler.handler_name
        if len(handler.http_methods) > 1:
            name = f"{name}_{method.lower()}"
        if len(handler.paths) > 1:
            name = "_".join((name, *(part for part in path if isinstance(part, str))))
        by_id[name] = handler
        return name

    # An application for the description alone: the one that serves has no pages of Litestar's beside ours.
    app = Litestar(
        route_handlers=list(handlers),
        dependencies={name: Provide(lambda: None, sync_to_thread=False) for name in _INJECTED},
        openapi_config=OpenAPIConfig(
            title="Majung",
            version=majung.__version__,
            description=words.ABOUT,
            use_handler_docstrings=True,
            operation_id_creator=operation_id,
        ),
    )
    document: Json = msgspec.to_builtins(app.openapi_schema.to_schema())
    document["tags"] = [{"name": name, "description": text} for name, text in words.TAGS.items()]
    document["security"] = [{"bearer": []}]
    document["components"] = {"schemas": _schemas(app), "securitySchemes": words.SECURITY}
    for path, operations in sorted(document["paths"].items()):
        for method in [name for name in _METHODS if name in operations]:
            operation = operations[method]
            _complete(operation, by_id[operation["operationId"]], method, path)
    document["paths"] = dict(sorted(document["paths"].items()))
    return document


# ------------------------------------------------------------------------------------------ schemas


def _schemas(app: Litestar) -> Json:
    """Every struct that a body is made of, with msgspec's own schema, its docstring and an example."""
    types: dict[str, Any] = {Problem.__name__: Problem, **{kind.__name__: kind for kind in words.BODIES_OF}}
    for handler in _handlers(app):
        for field in (handler.parsed_data_field, handler.parsed_return_field):
            if field is not None:
                types.update((kind.__name__, kind) for kind in _structs(field.annotation))
    _, schemas = msgspec.json.schema_components([types[name] for name in sorted(types)], ref_template=_REF)
    for name, schema in schemas.items():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
        if name in EXAMPLES:
            told = msgspec.to_builtins(EXAMPLES[name])
            schema["examples"] = [
                {field: v for field, v in told.items() if v is not None or field in schema["required"]}
            ]
    return dict(sorted(schemas.items()))


def _handlers(app: Litestar) -> Iterator[HTTPRouteHandler]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            yield from (h for h in route.route_handlers if h.resolve_include_in_schema())


def _structs(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    """`Response[list[Fence]]` → Fence."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield annotation
    for inner in get_args(annotation):
        yield from _structs(inner)


# --------------------------------------------------------------------------------------- operations


def _complete(operation: Json, handler: HTTPRouteHandler, method: str, path: str) -> None:
    """Parameters, who may call, bodies and responses of one operation."""
    name = handler.handler_name
    operation.pop("deprecated", None)
    operation["description"] = inspect.cleandoc(operation.get("description", ""))
    signed_in = "principal" in handler.parsed_fn_signature.parameters
    if not signed_in:
        operation["security"] = words.SECURITY_OF.get(name, [])
    else:
        operation.pop("security", None)
    fields = {_wire_name(field): field for field in handler.parsed_fn_signature.parameters.values()}
    for parameter in operation.get("parameters", []):
        _complete_parameter(parameter, fields[parameter["name"]], name)
    if name in words.PARAMETERS:
        operation["parameters"] = [*operation.get("parameters", []), *words.PARAMETERS[name]]
    if name in words.REQUESTS and method != "get":
        operation["requestBody"] = words.REQUESTS[name]
    _complete_responses(operation, name, path)


def _wire_name(field: FieldDefinition) -> str:
    kwarg = field.kwarg_definition
    given = kwarg.name if isinstance(kwarg, ParameterKwarg) else None
    return given or field.name


def _complete_parameter(parameter: Json, field: FieldDefinition, operation: str) -> None:
    """The schema by msgspec, which is what checks the value; a parameter that may be left out is never null."""
    kwarg = field.kwarg_definition
    bounds: dict[str, Any] = {}
    if isinstance(kwarg, ParameterKwarg):
        bounds = {
            bound: getattr(kwarg, bound) for bound in ("gt", "ge", "lt", "le", "min_length", "max_length")
        }
        bounds["max_length"] = kwarg.max_length or kwarg.max_items
        if kwarg.description:
            parameter["description"] = kwarg.description
    kind = _without_none(field.annotation)
    schema = msgspec.json.schema(Annotated[kind, msgspec.Meta(**bounds)])
    if field.has_default and field.default not in (None, ""):
        schema["default"] = field.default
    name = parameter["name"]
    parameter["schema"] = schema
    parameter.pop("deprecated", None)
    if name in words.DESCRIPTIONS:
        parameter.setdefault("description", words.DESCRIPTIONS[name])
    value = words.VALUES.get(f"{operation}.{name}", words.VALUES.get(name))
    if value is not None:
        parameter["example"] = value


def _without_none(annotation: Any) -> Any:
    inner = [kind for kind in get_args(annotation) if kind is not type(None)]
    return inner[0] if type(None) in get_args(annotation) and len(inner) == 1 else annotation


def _complete_responses(operation: Json, name: str, path: str) -> None:
    responses: Json = operation["responses"]
    for status, response in responses.items():
        if status.startswith("2"):
            response["description"] = words.DONE.get(int(status), "Done.")
            response.pop("headers", None)
            if name in words.CONTENT:
                response["content"] = words.CONTENT[name]
    has_body = "requestBody" in operation
    signed_in = operation.get("security") != []
    wanted = {
        400: has_body or bool(operation.get("parameters")),
        401: signed_in,
        403: signed_in,
        404: "{" in path,
        413: has_body,
        429: signed_in,
        503: name != "healthz",
    }
    statuses = {status for status, is_wanted in wanted.items() if is_wanted}
    statuses = (statuses | words.ALSO.get(name, set())) - words.NEVER.get(name, set())
    own = {status for status, response in responses.items() if "TokenError" in str(response)}
    kept = {status: response for status, response in responses.items() if status[0] == "2" or status in own}
    problems = {str(status): _problem(status) for status in statuses}
    operation["responses"] = dict(sorted({**problems, **kept, **words.RESPONSES.get(name, {})}.items()))


def _problem(status: int) -> Json:
    headers = words.HEADERS.get(status)
    content = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name=Problem.__name__)}}}
    return {
        "description": words.PROBLEMS[status],
        **({"headers": headers} if headers else {}),
        "content": content,
    }

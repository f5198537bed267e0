"""`make docs`: docs/api.md from the OpenAPI description and the proto, docs/settings.md from the settings.

Both are committed; tests/unit/test_docs.py says when they are not what this makes. Nothing is started: the
description is made of the handlers, and the same code gives the same text everywhere.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from google.protobuf import descriptor_pb2  # noqa: E402

from majung.serve.grpc_door import _STATUS as STATUS  # noqa: E402
from majung.serve.http.app import api_description  # noqa: E402
from majung.serve.http.openapi_words import PROBLEMS  # noqa: E402
from majung.settings import Settings  # noqa: E402
from majung.settings_doc import rows  # noqa: E402
from scripts.build_proto import protoc  # noqa: E402

Json = dict[str, Any]

PROTO = "majung/location/v1/location.proto"
MADE = "<!-- Made by `make docs`; change the code instead. -->"
PROBLEM = "application/problem+json"
METHODS = ("get", "post", "put", "patch", "delete")


def table(head: tuple[str, ...], body: list[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table; nothing without rows."""
    if body:
        yield f"| {' | '.join(head)} |"
        yield f"|{'---|' * len(head)}"
        for row in body:
            yield f"| {' | '.join(cell.replace('|', '&#124;').replace(chr(10), ' ') for cell in row)} |"
        yield ""


# --------------------------------------------------------------------------------------------- HTTP


def kind(schema: Json) -> str:
    """A schema in a few words: `list of Fence`, `number or null`, `integer, 1 to 1000`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(kind(one) for one in schema['prefixItems'])}]"
        return f"list of {kind(schema.get('items', {}))}{bounds(schema)}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map of {kind(schema['additionalProperties'])}"
    return f"{schema.get('type', 'anything')}{bounds(schema)}"


def bounds(schema: Json) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f", more than {schema['exclusiveMinimum']:g} to {most:g}"
    if least is not None and most is not None:
        return f", {least:g} to {most:g}" if most < 2**53 else f", {least:g} or more"
    for name, unit in (("maxLength", "characters"), ("maxItems", "items")):
        if name in schema:
            return f", at most {schema[name]} {unit}"
    return ""


def operation(method: str, path: str, told: Json, schemas: Json) -> Iterator[str]:
    yield f"### {told['summary']}"
    yield ""
    yield f"`{method.upper()} {path}`{signing_in(told)}"
    yield ""
    yield told["description"]
    yield ""
    yield from table(
        ("parameter", "in", "type", "default", "meaning"),
        [
            (
                f"`{parameter['name']}`" + (" (must)" if parameter.get("required") else ""),
                parameter["in"],
                kind(parameter["schema"]),
                f"`{json.dumps(parameter['schema']['default'])}`" if "default" in parameter["schema"] else "",
                parameter.get("description", ""),
            )
            for parameter in told.get("parameters", [])
        ],
    )
    yield "```"
    yield curl(method, path, told, schemas)
    yield "```"
    yield ""
    yield answers(told["responses"])
    yield ""


def answers(responses: Json) -> str:
    """`200: Fence. Problems: 400, 401.`"""
    problems = [status for status, answer in responses.items() if PROBLEM in answer.get("content", {})]
    told = [
        f"{status}: {answer_body(answer)}" for status, answer in responses.items() if status not in problems
    ]
    return "; ".join(told) + "." + (f" Problems: {', '.join(problems)}." if problems else "")


def signing_in(told: Json) -> str:
    if told.get("security") is None:
        return ""
    names = [name for one in told["security"] for name in (list(one) or ["none"])]
    return f" · credential: {', '.join(names) if names else 'none'}"


def answer_body(answer: Json) -> str:
    bodies = [
        kind(content["schema"]) if media == "application/json" and content["schema"] else f"`{media}`"
        for media, content in answer.get("content", {}).items()
    ]
    return ", ".join(bodies) or "nothing"


def curl(method: str, path: str, told: Json, schemas: Json) -> str:
    """A command that can be pasted: `$MAJUNG` is the address, `$TOKEN` a token."""
    query = []
    for parameter in told.get("parameters", []):
        value = parameter.get("example")
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(str(value)))
        elif parameter["in"] == "query" and value is not None:
            query += [(parameter["name"], one) for one in (value if isinstance(value, list) else [value])]
    url = f"$MAJUNG{path}" + (f"?{urlencode(query, safe=',:…')}" if query else "")
    words = ["curl", *([] if method in ("get", "post") else [f"-X {method.upper()}"])]
    if told.get("security") is None or {"bearer": []} in told["security"]:
        words.append('-H "Authorization: Bearer $TOKEN"')
    words += body_words(told.get("requestBody"), schemas)
    if method == "post" and "-d" not in " ".join(words):
        words.insert(1, "-X POST")
    return " ".join([*words, f'"{url}"'])


def body_words(body: Json | None, schemas: Json) -> list[str]:
    if body is None:
        return []
    media, content = next(iter(body["content"].items()))
    schema = content["schema"]
    if "form" in media:
        return ["-d grant_type=password -d username=mina -d password=…"]
    example = content.get("example")
    if "$ref" in schema:
        example = next(iter(schemas[schema["$ref"].rpartition("/")[2]].get("examples", [{}])))
    return ['-H "Content-Type: application/json"', f"-d '{json.dumps(example, ensure_ascii=False)}'"]


def values(schemas: Json) -> Iterator[str]:
    for name, schema in schemas.items():
        yield f"### {name}"
        yield ""
        yield schema.get("description", "")
        yield ""
        if "enum" in schema:
            yield f"One of {kind(schema)}."
            yield ""
        must = schema.get("required", [])
        yield from table(
            ("field", "type", "default"),
            [
                (
                    f"`{field}`",
                    kind(told),
                    "must be there"
                    if field in must
                    else f"`{json.dumps(told.get('default'), ensure_ascii=False)}`",
                )
                for field, told in schema.get("properties", {}).items()
            ],
        )
        for example in schema.get("examples", []):
            yield "```json"
            yield json.dumps(example, ensure_ascii=False, indent=1)
            yield "```"
            yield ""


# --------------------------------------------------------------------------------------------- gRPC


def parse_proto() -> descriptor_pb2.FileDescriptorProto:
    """The contract with its comments, as protoc reads it."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "set"
        protoc("--include_source_info", f"--descriptor_set_out={made}", PROTO)
        return descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes()).file[0]


def grpc_service() -> Iterator[str]:
    file = parse_proto()
    comments = {
        tuple(place.path): " ".join(place.leading_comments.split())
        for place in file.source_code_info.location
    }
    (head,) = [place for place in file.source_code_info.location if list(place.path) == [12]]
    for paragraph in [*head.leading_detached_comments, head.leading_comments]:
        yield "\n".join(line.strip() for line in paragraph.strip().splitlines())
        yield ""
    for number, service in enumerate(file.service):
        yield f"### `{file.package}.{service.name}`"
        yield ""
        yield from table(
            ("call", "takes", "gives", "meaning"),
            [
                (
                    f"`{call.name}`",
                    f"{'stream of ' if call.client_streaming else ''}{call.input_type.rpartition('.')[2]}",
                    f"{'stream of ' if call.server_streaming else ''}{call.output_type.rpartition('.')[2]}",
                    comments.get((6, number, 2, index), ""),
                )
                for index, call in enumerate(service.method)
            ],
        )
    for number, message in enumerate(file.message_type):
        yield f"### `{message.name}` (gRPC)"
        yield ""
        yield from table(
            ("number", "field", "type", "meaning"),
            [
                (
                    str(field.number),
                    f"`{field.name}`",
                    field_type(field),
                    comments.get((4, number, 2, index), ""),
                )
                for index, field in enumerate(message.field)
            ],
        )
    yield "A call that cannot go on ends with one of these; send again what was not acknowledged:"
    yield ""
    causes: dict[str, list[str]] = {}
    for cause, code in STATUS:
        causes.setdefault(code.name, []).append((cause.__doc__ or "").partition(".")[0])
    yield from table(
        ("status", "meaning"), [(f"`{code}`", "; ".join(texts) + ".") for code, texts in causes.items()]
    )
    yield "Reflection and the standard health service are there too:"
    yield ""
    yield "```"
    yield 'grpcurl -plaintext -H "authorization: Bearer $TOKEN" -d @ HOST:50051 \\'
    yield f"  {file.package}.{file.service[0].name}/{file.service[0].method[0].name} < positions.json"
    yield "```"
    yield ""


def field_type(field: descriptor_pb2.FieldDescriptorProto) -> str:
    if field.type_name.endswith("Entry"):
        return "map<string, string>"
    name = descriptor_pb2.FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    return f"optional {name}" if field.proto3_optional else name


# -------------------------------------------------------------------------------------------- files


def api_md() -> str:
    """docs/api.md."""
    spec: Json = json.loads(api_description())
    schemas = spec["components"]["schemas"]
    lines = ["# API", "", MADE, "", spec["info"]["description"], ""]
    lines += ["`/openapi.json` of a running server says the same as OpenAPI 3.1. In the examples:", ""]
    lines += ["```", "export MAJUNG=http://127.0.0.1:8080"]
    lines += [
        "export TOKEN=$(curl -s $MAJUNG/v1/oauth/token -d grant_type=password -d username=admin "
        '-d password="$PASSWORD" | python3 -c \'import json, sys; print(json.load(sys.stdin)["access_token"])\')',
        "```",
        "",
    ]
    contents = [*(tag["name"] for tag in spec["tags"]), "WebSockets", "Values", "gRPC"]
    lines += [" · ".join(f"[{name}](#{name.lower()})" for name in contents), ""]
    lines += ["Problems mean the same everywhere ([Problem](#problem) is their body):", ""]
    lines += table(("status", "meaning"), [(str(status), text) for status, text in PROBLEMS.items()])
    for tag in spec["tags"]:
        lines += [f"## {tag['name']}", "", tag["description"], ""]
        for path, operations in spec["paths"].items():
            for method in METHODS:
                if tag["name"] in operations.get(method, {}).get("tags", []):
                    lines += operation(method, path, operations[method], schemas)
    lines += ["## WebSockets", ""]
    lines += ["`/v1/live`: positions and events as they happen, see [live.md](live.md).", ""]
    lines += ["`/v1/orders/live`: orders as they change, of those that the caller has part in.", ""]
    lines += ["`/v1/friends/live`: who is near, for people; see [friends.md](friends.md).", ""]
    lines += ["`/v1/riders/me/live`: the offers that a rider on duty gets.", ""]
    lines += [
        "`/v1/positions/stream`: a device reports, see [phones.md](phones.md#5-a-device-of-your-own).",
        "",
    ]
    lines += ["## Values", "", *values(schemas), "## gRPC", "", *grpc_service()]
    return "\n".join(lines).rstrip() + "\n"


def settings_md() -> str:
    """docs/settings.md."""
    lines = ["# Settings", "", MADE, ""]
    lines += ["The first that has a value wins: a flag, the environment, the file, the default.", "", "```"]
    lines += ["majung serve --set positions.max_age=30d"]
    lines += ["MAJUNG_POSITIONS__MAX_AGE=30d majung serve"]
    lines += ["printf '[positions]\\nmax_age = \"30d\"\\n' > majung-data/majung.toml"]
    lines += ["majung settings                  # every value as it is", "```", ""]
    lines += ["Durations are written `250ms`, `10s`, `5m`, `24h`, `7d`, `2w`, `20y`.", ""]
    sections: dict[str, list[tuple[str, ...]]] = {}
    for name, _, default, meaning in rows(Settings.model_construct()):
        sections.setdefault(name.rpartition(".")[0], []).append(
            (f"`{name}`", f"`{default}`" if default else "", meaning)
        )
    for section, listed in sections.items():
        model = Settings.model_fields[section].annotation if section else None
        about = (model.__doc__ or "").strip() if model else "The whole server."
        lines += [f"## {section or 'general'}", "", about, ""]
        lines += table(("setting", "default", "meaning"), listed)
    return "\n".join(lines).rstrip() + "\n"


FILES = {"docs/api.md": api_md, "docs/settings.md": settings_md}


if __name__ == "__main__":
    for name, make in FILES.items():
        (ROOT / name).write_text(make(), encoding="utf-8")
        print(f"wrote {name}")

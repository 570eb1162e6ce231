"""The OpenAPI document as a page to read, whole in itself: no script, nothing from another host."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --faint: color-mix(in srgb, currentColor 60%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid var(--faint); border-radius: 4px; }
summary { cursor: pointer; padding: .25rem 0; }
summary code { font-weight: 600; }
details > :not(summary) { margin-left: 1rem; }
table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }
.faint { color: var(--faint); }
"""


def page(document: Mapping[str, Any]) -> tuple[str, str]:
    """The page, and the content security policy under which it works."""
    info = document["info"]
    body = "".join(_routes(document))
    schemas = "".join(
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>"
        for name, schema in document["components"]["schemas"].items()
    )
    html = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>"
        f"<h1>{escape(info['title'])} <span class=faint>{escape(info['version'])}</span></h1>"
        f"<p>{escape(info['summary'])}</p><p>{escape(info['description'])} "
        f"The same for programs: <a href='/openapi.json'><code>/openapi.json</code></a>.</p>"
        f"{body}<h2>Schemas</h2>{schemas}</html>"
    )
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return html, f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"


def _routes(document: Mapping[str, Any]) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'].title())}</h2><p>{escape(tag['description'])}</p>"
        for path, verbs in document["paths"].items():
            for verb, route in verbs.items():
                if tag["name"] in route["tags"]:
                    yield _route(path, verb, route)


def _route(path: str, verb: str, route: Mapping[str, Any]) -> str:
    name = f"<code>{verb.upper()} {escape(path)}</code> {escape(route['summary'])}"
    parts = [f"<details id='{escape(route['operationId'])}'><summary>{name}</summary>"]
    if "description" in route:
        parts.append(f"<p>{escape(route['description'])}</p>")
    told = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code><td>{parameter['in']}<td>{escape(parameter['description'])}"
        for parameter in route.get("parameters", ())
    )
    if told:
        parts.append(f"<h4>Parameters</h4><table>{told}</table>")
    for kind, content in route.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h4>Send <code>{escape(kind)}</code></h4>{_json(content['schema'])}")
        if "example" in content:
            parts.append(f"<p>For example</p>{_json(content['example'])}")
    rows = "".join(
        f"<tr><td><code>{status}</code><td>{_forms(answer)}<td>{escape(answer['description'])}"
        for status, answer in route["responses"].items()
    )
    parts.append(f"<h4>Answers</h4><table>{rows}</table></details>")
    return "".join(parts)


def _forms(answer: Mapping[str, Any]) -> str:
    return "<br>".join(f"<code>{escape(kind)}</code>" for kind in answer.get("content", ()))


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"

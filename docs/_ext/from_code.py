"""Fill reference pages from the code, so that they cannot say anything else than it does.

A page holds a comment `<!-- from code: NAME argument -->` on a line of its own; it is replaced by
Markdown made of signatures, defaults and docstrings. `NAME` is a key of `WRITERS`. Each name gets
an anchor, a line of the index and one of `objects.inv`, by which other projects link to it.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path, PosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any

import attrs

MARK = re.compile(r"^<!-- from code: (\w+) ?(\S*) -->$", re.MULTILINE)
UNFILLED = "*`make docs` adds the parts of this page that are written from the code.*\n\n"
"""What a page with marks says after its title, to whoever reads it in a checkout."""
ROW = re.compile(r"\S+(?:, \S+)*(?: {2,}\S|\n {8,}\S)")


def setup(app: Any) -> dict[str, bool]:
    """Sphinx's entry: pages are filled as they are read."""
    app.connect("source-read", lambda _app, _name, source: source.__setitem__(0, fill(source[0])))
    app.connect("env-get-outdated", lambda _app, env, *_: _filled(env))
    return {"parallel_read_safe": True}


def _filled(env: Any) -> list[str]:
    """The pages that depend on the code: read anew each time."""
    return [name for name in env.found_docs if MARK.search(Path(env.doc2path(name)).read_text())]


def fill(page: str) -> str:
    """The page with every mark replaced, and without the note that they are not."""
    page = page.replace(UNFILLED, "", 1)
    return MARK.sub(lambda mark: "\n".join(WRITERS[mark[1]](mark[2])), page)


def prose(doc: str | None) -> Iterator[str]:
    """A docstring as Markdown: its aligned columns become tables."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(doc or "")):
        yield from _table(paragraph) if ROW.match(paragraph) else [paragraph]
        yield ""


def columns(doc: str | None) -> dict[str, str]:
    """Name -> meaning, out of every aligned column of a docstring."""
    found: dict[str, str] = {}
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(doc or "")):
        for names, text in _rows(paragraph) if ROW.match(paragraph) else ():
            found.update(dict.fromkeys(names.split(", "), text))
    return found


def _rows(paragraph: str) -> Iterator[tuple[str, str]]:
    """Names and meaning; a line that starts further in goes on with the row above it."""
    for lines in re.split(r"\n(?=\S)", paragraph):
        names, _, text = re.sub(r"\n\s+", "  ", lines, count=1).partition("  ")
        yield names.replace("`", ""), " ".join(text.split())


def _table(paragraph: str) -> Iterator[str]:
    yield "| | |"
    yield "| --- | --- |"
    for name, text in _rows(paragraph):
        yield f"| {_code(name)} | {_cell(text)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def hooks(_: str) -> Iterator[str]:
    """Every hookspec: its signature, its colour, who is asked, and its docstring."""
    from gateway_core.contract import hookspecs  # noqa: PLC0415 - docs of other pages need no core

    for name, spec in vars(hookspecs).items():
        options = getattr(spec, "gateway_spec", None)
        if options is not None:
            yield from _hook(name, spec, first=options["firstresult"])


def _hook(name: str, spec: Callable[..., Any], *, first: bool) -> Iterator[str]:
    waits = inspect.iscoroutinefunction(spec)
    yield from _anchor("function", f"gateway_core.contract.hookspecs.{name}")
    asked = "one impl, the adapter's" if waits else "the first answer" if first else "everyone"
    yield from ["", f"## {name}", "", "```python", signature(name, spec), "```", ""]
    yield f"*{'async' if waits else 'sync'}; asked: {asked}*"
    yield ""
    yield from prose(spec.__doc__)


def signature(name: str, function: Callable[..., Any]) -> str:
    """`name(parameters) -> answer`, as it is written in the code."""
    text = str(inspect.signature(function)).replace("'", "")
    colour = "async def" if inspect.iscoroutinefunction(function) else "def"
    return f"{colour} {name}{text}: ..."


# -- names that applications and authors import


def _anchor(kind: str, name: str) -> Iterator[str]:
    """What Sphinx calls an object, which shows nothing: the text that follows is our own."""
    yield from ["", f"```{{py:{kind}}} {name}", ":no-typesetting:", "```"]


def _kind(thing: Any) -> str:
    if not inspect.isclass(thing):
        return "property" if isinstance(thing, property) else "function"
    return "exception" if issubclass(thing, BaseException) else "class"


def _door(name: str, module: str) -> str:
    """The module that a name is imported from: the door that has it, else the one it is in."""
    doors = ("gateway_core", "gateway_core.authors", "gateway_core.outboxes")
    have = (door for door in doors if name in importlib.import_module(door).__all__)
    return next(have, module)


def names(where: str) -> Iterator[str]:
    """Public names, each with how it is called and what it does: `module:name,name`."""
    module, _, wanted = where.partition(":")
    home = importlib.import_module(module)
    for name in wanted.split(",") if wanted else home.__all__:
        thing = getattr(home, name)
        if callable(thing):
            yield from _anchor(_kind(thing), f"{module}.{name}")
            yield from ["", f"### {name}", ""]
            inner = inspect.isclass(thing)
            yield from _class(module, name, thing) if inner else _function(name, thing)


def whole(where: str) -> Iterator[str]:
    """The same of a class whose methods a protocol tells of: `module:name`."""
    module, _, name = where.partition(":")
    thing = getattr(importlib.import_module(module), name)
    yield from _anchor("class", f"{module}.{name}")
    yield from ["", f"### {name}", "", "```python", _call(name, thing, "class"), "```", ""]
    yield from prose(thing.__doc__)


def aliases(module: str) -> Iterator[str]:
    """The names of a door that stand for words or for several classes: what each may be."""
    door = importlib.import_module(module)
    yield "| name | what it may be |"
    yield "| --- | --- |"
    for name in door.__all__:
        thing = getattr(door, name)
        if thing is Any:
            yield f"| `{name}` | anything |"
        elif typing.get_args(thing):
            yield f"| `{name}` | {', '.join(_choices(thing))} |"


def _choices(alias: Any) -> Iterator[str]:
    """Words as they are written, and the names of classes."""
    for each in typing.get_args(alias):
        if isinstance(each, str):
            yield f'`"{each}"`'
        elif typing.get_origin(each) is typing.Literal:
            yield from _choices(each)
        else:
            yield _code(
                inspect.formatannotation(each).rpartition(".")[2]
                if inspect.isclass(each)
                else str(each)
            )


OPENED = {"Gateway", "HttpClient", "Network", "Ticket"}
"""Classes that something else makes."""
INNER = {"Network": {"dispatch", "host", "transport"}}
"""Methods that are the core's own."""
LEADING = {"Gateway": {"send", "enqueue", "submit", "edit", "delete", "call", "stream"}}
"""Methods that most readers look for: they come first."""


def _class(module: str, name: str, thing: type) -> Iterator[str]:
    if issubclass(thing, tuple) or (_is_made(thing) and name not in OPENED):
        yield from ["```python", _call(name, thing, "class"), "```", ""]
    yield from prose(thing.__doc__)
    yield from _members(thing)
    for method, function in methods(thing).items():
        kind = "property" if isinstance(function, property) else "method"
        yield from _anchor(kind, f"{module}.{name}.{method}")
        yield from ["", f"#### {name}.{method}", ""]
        yield from _function(method, function)


def _is_made(thing: type) -> bool:
    protocol = getattr(thing, "_is_protocol", False)
    return not attrs.has(thing) and not protocol and "__init__" in vars(thing)


def methods(thing: type) -> dict[str, Any]:
    """The public methods and properties, the bases' first."""
    found: dict[str, Any] = {}
    inner = INNER.get(thing.__name__, set())
    for base in reversed(thing.__mro__):
        if base.__module__.startswith("gateway_"):
            found.update(vars(base))
    order = sorted(found, key=lambda name: name not in LEADING.get(thing.__name__, ()))
    return {n: found[n] for n in order if _is_for_users(n, found[n]) and n not in inner}


def _is_for_users(name: str, member: Any) -> bool:
    told = isinstance(member, property) or inspect.isfunction(member)
    hook = hasattr(member, "gateway_impl")
    return told and not hook and not name.startswith(("_", "test_"))


def _function(name: str, function: Any) -> Iterator[str]:
    if isinstance(function, property):
        answer = inspect.signature(function.fget).return_annotation
        yield from ["```python", f"{name}: {answer}", "```", ""]
        yield from prose(function.__doc__)
        return
    colour = "async def" if inspect.iscoroutinefunction(function) else "def"
    yield from ["```python", _call(name, function, colour), "```", ""]
    yield from prose(function.__doc__)


def _call(name: str, function: Callable[..., Any], colour: str) -> str:
    """How it is called, a parameter on each line where one does not hold them."""
    told = inspect.signature(function)
    parameters = list(_parameters(told))
    ending = "" if colour == "class" else f" -> {_answer(function, told.return_annotation)}"
    line = f"{colour} {name}({', '.join(parameters)}){ending}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{colour} {name}(", *(f"    {p}," for p in parameters), f"){ending}"])


WIDTH = 88


def _parameters(told: inspect.Signature) -> Iterator[str]:
    kind = None
    for each in told.parameters.values():
        if each.name == "self":
            continue
        if each.kind is each.KEYWORD_ONLY and kind not in {each.KEYWORD_ONLY, each.VAR_POSITIONAL}:
            yield "*"
        kind = each.kind
        star = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(kind, "")
        default = "" if each.default is each.empty else f" = {_plain(each.default)}"
        written = getattr(each.annotation, "__forward_arg__", each.annotation)
        yield f"{star}{each.name}: {written}{default}"


def _plain(value: Any) -> str:
    if inspect.isroutine(value):
        return "..." if value.__name__ == "<lambda>" else value.__name__
    if attrs.has(type(value)):
        return f"{type(value).__name__}()"
    plain = {MappingProxyType: dict, PosixPath: Path}.get(type(value))
    return repr(plain(value)).replace("PosixPath", "Path") if plain else repr(value)


def _answer(function: Callable[..., Any], annotation: object) -> str:
    """What is entered with `with` says so, instead of what its generator yields."""
    inside = inspect.unwrap(function)
    if inside is function:
        return str(annotation)
    if inspect.isasyncgenfunction(inside):
        return str(annotation).replace("AsyncIterator[", "AbstractAsyncContextManager[", 1)
    if inspect.isgeneratorfunction(inside):
        return str(annotation).replace("Iterator[", "AbstractContextManager[", 1)
    return str(annotation)


def values(module: str) -> Iterator[str]:
    """Every public attrs class, enum and plain class of a module, with its fields."""
    for name, thing in vars(importlib.import_module(module)).items():
        if inspect.isclass(thing) and thing.__module__ == module and not name.startswith("_"):
            yield from _anchor(_kind(thing), f"{_door(name, module)}.{name}")
            yield from ["", f"## {name}", ""]
            yield from prose(thing.__doc__)
            yield from _members(thing)


def _members(thing: type) -> Iterator[str]:
    if issubclass(thing, enum.Enum):
        yield "Values: " + ", ".join(f"`{member.value}`" for member in thing) + "."
    elif attrs.has(thing):
        yield "| field | type | default |"
        yield "| --- | --- | --- |"
        for field in attrs.fields(thing):
            yield f"| `{field.name}` | {_code(_type(field))} | {default(field)} |"


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _type(field: Any) -> str:
    return field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)


def default(field: Any, others: Any = None) -> str:
    """A field's default as the table shows it; required where there is none.

    One that depends on other settings is shown as it is with those `others`.
    """
    if field.default is attrs.NOTHING:
        return "required"
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type] # Factory is a class
        follows = field.default.takes_self
        if follows and others is None:
            return "derived"
        made = field.default.factory(others) if follows else field.default.factory()
        return "derived" if made is None else _code(repr(made))
    return _code(repr(field.default))


def errors(module: str) -> Iterator[str]:
    """The exceptions of a module as a tree: a nested list in the order of inheritance."""
    found = [
        thing
        for thing in vars(importlib.import_module(module)).values()
        if inspect.isclass(thing) and issubclass(thing, Exception) and thing.__module__ == module
        if not thing.__name__.startswith("_")
    ]
    yield from _branch(found, found[0], 0)


def _branch(found: list[type], root: type, depth: int) -> Iterator[str]:
    first, *_ = inspect.cleandoc(root.__doc__ or "").split("\n\n")
    indent = "  " * depth
    yield f"{indent}- `{root.__name__}`: {' '.join(first.split())}"
    for line in _anchor("exception", f"{_door(root.__name__, root.__module__)}.{root.__name__}"):
        yield f"{indent}  {line}".rstrip()
    for thing in found:
        if _parent(thing) is root:
            yield from _branch(found, thing, depth + 1)


def _parent(thing: type) -> type | None:
    """The nearest public base; a private one only shares code."""
    bases = [base for base in thing.__mro__[1:] if not base.__name__.startswith("_")]
    return bases[0] if bases else None


def adapter(name: str) -> Iterator[str]:
    """The settings of a channel's instances."""
    yield from settings_table(importlib.import_module(f"{name}.hooks").settings_type())


def settings(where: str) -> Iterator[str]:
    """The settings that are an attrs class of core: `module:Class`."""
    module, _, name = where.partition(":")
    yield from settings_table(getattr(importlib.import_module(module), name))


def settings_table(thing: type) -> Iterator[str]:
    """One table of an attrs class: name, type, default, meaning and reason; its own first."""
    meanings: dict[str, str] = {}
    for base in reversed(thing.__mro__[:-1]):
        meanings.update(columns(base.__doc__))
    fields = sorted(attrs.fields(thing), key=lambda field: field.inherited)
    others = SimpleNamespace(**{field.name: field.default for field in fields})
    yield "| setting | type | default | meaning and reason |"
    yield "| --- | --- | --- | --- |"
    for field in (field for field in fields if field.init):
        meaning = _cell(meanings.get(field.name, ""))
        yield f"| `{field.name}` | {_code(_type(field))} | {default(field, others)} | {meaning} |"


def telemetry(kind: str) -> Iterator[str]:
    """One kind of declaration out of `gateway_core.telemetry`."""
    from gateway_core import telemetry as names  # noqa: PLC0415 - docs of other pages need no core

    yield from {
        "version": lambda: [f"Schema version: **{names.SCHEMA_VERSION}**."],
        "metrics": lambda: _metrics(names.METRICS),
        "spans": lambda: _spans(names.SPANS),
        "attributes": lambda: _attributes(names.ATTRIBUTES),
        "events": lambda: _events(names.EVENTS),
    }[kind]()


def _names(attributes: Any) -> str:
    return ", ".join(f"`{attribute.name}`" for attribute in attributes) or "none"


def _metrics(metrics: Any) -> Iterator[str]:
    yield "| metric | kind | unit | attributes | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for each in metrics:
        bounds = f"; bounds {', '.join(f'{b:g}' for b in each.bounds)}" if each.bounds else ""
        meaning = _cell(each.meaning + bounds)
        attributes = _names(each.attributes)
        yield f"| `{each.name}` | {each.kind} | `{each.unit}` | {attributes} | {meaning} |"


def _spans(spans: Any) -> Iterator[str]:
    for each in spans:
        yield from ["", f"### `{each.name}`", "", f"Kind {each.kind}: {each.meaning}.", ""]
        yield f"Attributes: {_names(each.attributes)}."
        if each.events:
            yield from ["", "| event | attributes | meaning |", "| --- | --- | --- |"]
        for event in each.events:
            yield f"| `{event.name}` | {_names(event.attributes)} | {_cell(event.meaning)} |"


def _attributes(attributes: Any) -> Iterator[str]:
    yield "| attribute | values | meaning |"
    yield "| --- | --- | --- |"
    for each in attributes:
        yield f"| `{each.name}` | {_cell(each.values)} | {_cell(each.meaning)} |"


def _events(events: Any) -> Iterator[str]:
    yield "| event | level | fields | meaning |"
    yield "| --- | --- | --- | --- |"
    for each in events:
        fields = ", ".join(f"`{field}`" for field in each.fields)
        yield f"| `{each}` | {each.level} | {fields} | {_cell(each.meaning)} |"


# -- the map of core's packages


ROOT = Path(__file__).parents[2]
CORE = ROOT / "core/src/gateway_core"
LAYERING = ROOT / "tests/test_layering.py"


def house(_: str) -> Iterator[str]:
    """The packages of core as `tests/test_layering.py` orders them, the top one first."""
    yield from house_of(CORE, *layers(LAYERING.read_text()))


def layers(test: str) -> tuple[tuple[str, ...], dict[str, set[str]]]:
    """`ORDER` and `APART`: the test that enforces the order is the one place that holds it."""
    found = {
        node.targets[0].id: node.value
        for node in ast.parse(test).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    return ast.literal_eval(found["ORDER"]), ast.literal_eval(found["APART"])


def house_of(core: Path, order: tuple[str, ...], apart: dict[str, set[str]]) -> Iterator[str]:
    """The map of the packages in `core`; raises `ValueError` where one has no place on it."""
    homes: dict[str, Path] = {}
    for path in sorted(core.rglob("*.py")):
        homes.setdefault(_package(core, path), path.parent if path.parent != core else path)
    names = [*reversed(order), *(name for name in apart if name not in order)]
    if lost := {*homes} ^ {*names}:
        raise ValueError(f"not both in ORDER of {LAYERING.name} and in core: {sorted(lost)}")
    needs = {name: _needs(core, name, homes[name]) for name in names}
    yield from ["```text", *_floors(needs), "```"]
    for name in names:
        yield from _home(name, homes[name], needs[name])


def _package(core: Path, path: Path) -> str:
    """The package of a file; a module directly in `core` is one of its own."""
    first, *inner = path.relative_to(core).with_suffix("").parts
    if inner[2:]:
        raise ValueError(f"{path}: the map shows packages, a folder in one and no deeper")
    return core.name if first == "__init__" else first


def _needs(core: Path, name: str, home: Path) -> set[str]:
    """The packages of core that one imports from, for type checkers only as well."""
    found = set()
    for path in home.rglob("*.py") if home.is_dir() else [home]:
        for node in ast.walk(ast.parse(path.read_text())):
            found |= {_package_of(core, imported) for imported in _imported(node)}
    return found - {name, ""}


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _package_of(core: Path, imported: str) -> str:
    """The package of core that a dotted name is in; empty: it is not core's."""
    first, *inner = imported.split(".")
    if first != core.name:
        return ""
    known = inner and ((core / inner[0]).is_dir() or (core / f"{inner[0]}.py").is_file())
    return inner[0] if known else core.name


def _floors(needs: dict[str, set[str]]) -> Iterator[str]:
    """One line for each floor: what stands on one imports from the lines below only."""
    left = dict(needs)
    while left:
        floor = left.keys() - set().union(*left.values())
        if not floor:
            raise ValueError(f"packages import each other: {sorted(left)}")
        yield "   ".join(name for name in needs if name in floor)
        left = {name: wanted for name, wanted in left.items() if name not in floor}


def _home(name: str, home: Path, needs: set[str]) -> Iterator[str]:
    """One package: its sentence, what it imports, its modules with their sentences."""
    package = home.is_dir()
    yield from ["", f"### {name}", "", _sentence(home / "__init__.py" if package else home)]
    imported = ", ".join(f"`{other}`" for other in sorted(needs)) or "nothing of core"
    yield from ["", f"*Imports {imported}.*"]
    if package:
        yield from ["", "| module | |", "| --- | --- |"]
        for path in sorted(home.rglob("*.py")):
            inner = path.relative_to(home).with_suffix("").parts
            if inner := "/".join(part for part in inner if part != "__init__"):
                yield f"| `{inner}` | {_cell(_sentence(path))} |"


def _sentence(path: Path) -> str:
    """The first sentence of a module's docstring; a map without it would say nothing."""
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    found = re.match(r"(.+?[.!?])(?=\s|$)", doc, re.DOTALL)
    if found is None:
        raise ValueError(f"{path}: its docstring does not begin with a sentence")
    return " ".join(found[1].split())


WRITERS: dict[str, Callable[[str], Iterator[str]]] = {
    "hooks": hooks,
    "map": house,
    "names": names,
    "aliases": aliases,
    "whole": whole,
    "values": values,
    "errors": errors,
    "settings": settings,
    "adapter": adapter,
    "telemetry": telemetry,
}

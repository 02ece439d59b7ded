"""Reads Bicep files: parameters, variables, resources, modules, outputs, and their expressions.

It knows the part of the language that deploy/azure/ uses and rejects everything else. It keeps the difference between a
name and a text, so that unknown names can be found and expressions can be evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any


class BicepError(Exception):
    """A file that is not valid, with the line."""


@dataclass
class Text:
    parts: list[Any]  # str, or a node for ${…}


@dataclass
class Literal:
    value: Any  # int, bool or None


@dataclass
class Name:
    name: str


@dataclass
class Call:
    target: Any  # None, or the node before the dot
    function: str
    arguments: list[Any]


@dataclass
class Access:
    target: Any
    name: str


@dataclass
class Index:
    target: Any
    index: Any


@dataclass
class Unary:
    operator: str
    operand: Any


@dataclass
class Binary:
    operator: str
    left: Any
    right: Any


@dataclass
class Ternary:
    condition: Any
    yes: Any
    no: Any


@dataclass
class Array:
    items: list[Any]


@dataclass
class Object:
    items: list[tuple[Any, Any]]  # the key is a Text
    line: int = 0

    def get(self, name: str) -> Any:
        return next((value for key, value in self.items if key.parts == [name]), None)


@dataclass
class For:
    variables: list[str]
    over: Any
    body: Any


@dataclass
class If:
    condition: Any
    body: Any


@dataclass
class Declaration:
    kind: str  # param, var, resource, module, output
    name: str
    line: int
    type: str = ""
    value: Any = None
    existing: bool = False
    decorators: dict[str, list[Any]] = field(default_factory=dict)


TOKEN = re.compile(
    r"(?P<space>[ \t]+|//[^\n]*)|(?P<newline>\n)|(?P<number>\d+)|(?P<name>[A-Za-z_]\w*)|(?P<quote>')"
    r"|(?P<operator>==|!=|<=|>=|&&|\|\||\?\?|[-+*/%<>!?:.,()\[\]{}=@])"
)


class Parser:
    def __init__(self, text: str):
        self.tokens: list[tuple[str, Any, int]] = []
        self.at = 0
        self.scan(text)

    # --- tokens --------------------------------------------------------------------------------------------------------

    def scan(self, text: str) -> None:
        position, line = 0, 1
        while position < len(text):
            match = TOKEN.match(text, position)
            if not match:
                raise BicepError(f"line {line}: unexpected {text[position]!r}")
            position = match.end()
            kind = str(match.lastgroup)
            if kind == "quote":
                value, position = self.scan_text(text, position, line)
                self.tokens.append(("text", value, line))
            elif kind == "newline":
                self.tokens.append(("newline", "\n", line))
                line += 1
            elif kind != "space":
                self.tokens.append((kind, match.group(), line))
        self.tokens.append(("end", "", line))

    @staticmethod
    def scan_text(text: str, position: int, line: int) -> tuple[Text, int]:
        parts: list[Any] = []
        literal = ""
        while True:
            if position >= len(text) or text[position] == "\n":
                raise BicepError(f"line {line}: a text does not end")
            character = text[position]
            if character == "'":
                break
            if character == "\\":
                literal += {"n": "\n", "t": "\t"}.get(text[position + 1], text[position + 1])
                position += 2
            elif text.startswith("${", position):
                depth, end = 1, position + 2
                while depth:
                    if end >= len(text) or text[end] == "\n":
                        raise BicepError(f"line {line}: an interpolation does not end")
                    depth += {"{": 1, "}": -1}.get(text[end], 0)
                    end += 1
                if literal:
                    parts.append(literal)
                    literal = ""
                parts.append(Parser(text[position + 2 : end - 1]).whole_expression())
                position = end
            else:
                literal += character
                position += 1
        if literal or not parts:
            parts.append(literal)
        return Text(parts), position + 1

    def peek(self) -> tuple[str, Any, int]:
        return self.tokens[self.at]

    def next(self) -> tuple[str, Any, int]:
        self.at += 1
        return self.tokens[self.at - 1]

    def is_next(self, value: str) -> bool:
        kind, found, _ = self.peek()
        return kind in ("operator", "name") and found == value

    def accept(self, value: str) -> bool:
        if self.is_next(value):
            self.at += 1
            return True
        return False

    def expect(self, value: str) -> None:
        if not self.accept(value):
            _, found, line = self.peek()
            raise BicepError(f"line {line}: expected {value!r}, found {found!r}")

    def skip_lines(self) -> None:
        while self.peek()[0] == "newline":
            self.at += 1

    def name(self) -> str:
        kind, value, line = self.next()
        if kind != "name":
            raise BicepError(f"line {line}: expected a name, found {value!r}")
        return value

    # --- declarations --------------------------------------------------------------------------------------------------

    def file(self) -> list[Declaration]:
        declarations: list[Declaration] = []
        decorators: dict[str, list[Any]] = {}
        while True:
            self.skip_lines()
            kind, value, line = self.peek()
            if kind == "end":
                return declarations
            if self.accept("@"):
                name = self.name()
                decorators[name] = self.arguments()
                continue
            keyword = self.name()
            if keyword == "targetScope":
                self.expect("=")
                self.expression()
                continue
            if keyword not in ("param", "var", "resource", "module", "output"):
                raise BicepError(f"line {line}: unknown declaration {value!r}")
            declaration = Declaration(keyword, self.name(), line, decorators=decorators)
            decorators = {}
            if keyword in ("param", "output"):
                declaration.type = self.name()
            elif keyword in ("resource", "module"):
                _, path, _ = self.next()
                declaration.type = path.parts[0]
                declaration.existing = self.accept("existing")
            if keyword != "param" or self.is_next("="):
                self.expect("=")
                declaration.value = self.body() if keyword in ("resource", "module") else self.expression()
            declarations.append(declaration)
            if self.peek()[0] not in ("newline", "end"):
                raise BicepError(f"line {self.peek()[2]}: unexpected {self.peek()[1]!r} after {declaration.name}")

    def body(self) -> Any:
        if self.accept("if"):
            self.expect("(")
            condition = self.expression()
            self.expect(")")
            return If(condition, self.expression())
        return self.expression()

    # --- expressions ---------------------------------------------------------------------------------------------------

    def whole_expression(self) -> Any:
        node = self.expression()
        if self.peek()[0] != "end":
            raise BicepError(f"unexpected {self.peek()[1]!r} in an interpolation")
        return node

    def expression(self) -> Any:
        condition = self.binary(0)
        if self.accept("?"):
            self.skip_lines()
            yes = self.expression()
            self.skip_lines()
            self.expect(":")
            self.skip_lines()
            return Ternary(condition, yes, self.expression())
        return condition

    LEVELS = (("??",), ("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))

    def binary(self, level: int) -> Any:
        if level == len(self.LEVELS):
            return self.unary()
        node = self.binary(level + 1)
        while self.peek()[0] == "operator" and self.peek()[1] in self.LEVELS[level]:
            operator = self.next()[1]
            node = Binary(operator, node, self.binary(level + 1))
        return node

    def unary(self) -> Any:
        for operator in ("!", "-"):
            if self.accept(operator):
                return Unary(operator, self.unary())
        return self.postfix(self.primary())

    def postfix(self, node: Any) -> Any:
        while True:
            if self.accept("."):
                name = self.name()
                node = Call(node, name, self.arguments()) if self.is_next("(") else Access(node, name)
            elif self.accept("["):
                node = Index(node, self.expression())
                self.expect("]")
            else:
                return node

    def arguments(self) -> list[Any]:
        self.expect("(")
        arguments: list[Any] = []
        self.skip_lines()
        while not self.accept(")"):
            arguments.append(self.expression())
            self.skip_lines()
            if not self.accept(",") and not self.is_next(")"):
                raise BicepError(f"line {self.peek()[2]}: expected ',' or ')'")
            self.skip_lines()
        return arguments

    def primary(self) -> Any:
        kind, value, line = self.next()
        if kind == "text":
            return value
        if kind == "number":
            return Literal(int(value))
        if kind == "name":
            if value in ("true", "false", "null"):
                return Literal({"true": True, "false": False, "null": None}[value])
            return Call(None, value, self.arguments()) if self.is_next("(") else Name(value)
        if value == "(":
            node = self.expression()
            self.expect(")")
            return node
        if value == "[":
            return self.loop() if self.is_next("for") else self.array()
        if value == "{":
            return self.object(line)
        raise BicepError(f"line {line}: unexpected {value!r}")

    def loop(self) -> For:
        self.expect("for")
        if self.accept("("):
            variables = [self.name()]
            self.expect(",")
            variables.append(self.name())
            self.expect(")")
        else:
            variables = [self.name()]
        self.expect("in")
        over = self.expression()
        self.expect(":")
        body = self.body()
        self.skip_lines()
        self.expect("]")
        return For(variables, over, body)

    def array(self) -> Array:
        items: list[Any] = []
        self.skip_lines()
        while not self.accept("]"):
            items.append(self.expression())
            separated = self.accept(",") or self.peek()[0] == "newline"
            self.skip_lines()
            if not separated and not self.is_next("]"):
                raise BicepError(f"line {self.peek()[2]}: expected a new line or ']'")
        return Array(items)

    def object(self, line: int) -> Object:
        items: list[tuple[Any, Any]] = []
        self.skip_lines()
        while not self.accept("}"):
            kind, key, key_line = self.next()
            if kind not in ("name", "text"):
                raise BicepError(f"line {key_line}: expected the name of a property, found {key!r}")
            self.expect(":")
            items.append((key if kind == "text" else Text([key]), self.expression()))
            separated = self.accept(",") or self.peek()[0] == "newline"
            self.skip_lines()
            if not separated and not self.is_next("}"):
                raise BicepError(f"line {self.peek()[2]}: expected a new line or '}}'")
        keys = [str(key.parts) for key, _ in items]
        if len(set(keys)) != len(keys):
            raise BicepError(f"line {line}: an object has a property twice")
        return Object(items, line)


def names_in(node: Any) -> list[Name]:
    """All names that an expression refers to."""
    if isinstance(node, Name):
        return [node]
    if isinstance(node, For):
        inner = [name for name in names_in(node.body) if name.name not in node.variables]
        return names_in(node.over) + inner
    if isinstance(node, Object):
        return [name for pair in node.items for part in pair for name in names_in(part)]
    if isinstance(node, (list, tuple)):
        return [name for part in node for name in names_in(part)]
    if hasattr(node, "__dataclass_fields__"):
        return [name for part in node.__dataclass_fields__ for name in names_in(getattr(node, part))]
    return []


def nodes_in(node: Any) -> list[Any]:
    """The node and all nodes below it."""
    if isinstance(node, (list, tuple)):
        return [found for part in node for found in nodes_in(part)]
    if hasattr(node, "__dataclass_fields__"):
        return [node] + [found for part in node.__dataclass_fields__ for found in nodes_in(getattr(node, part))]
    return []

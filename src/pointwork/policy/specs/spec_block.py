"""What a specification states about models: the block every spec carries, read and checked.

The block says which roles the spec exercises, and repeats the pack's routing lines so that a reader
sees them; a line that differs from the pack needs an override that names it (CX-99 to CX-106). The
text is untrusted: it is bounded, read once from top to bottom, and never guessed at.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pointwork.contract.task import Name, SpecFacts
from pointwork.policy.documents.document import Document, Ratio, Sentence
from pointwork.policy.specs.spec_section import Line, Section, find_sections

SPEC_BYTES_MAX = 1_000_000
OVERRIDES_MAX = 50
OVERRIDE_CHARACTERS_MAX = 500
SHOWN_CHARACTERS_MAX = 80

Label = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\s:<>][^:<>\r\n]*$")]
Text = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\s\r\n][^\r\n]*$")]

_POLICY = "Policy"
_ROLES = "Roles exercised by this spec:"
_MODE = "Routing mode"
_TIERS = "Primary tiers:"
_PRIVACY = "Privacy:"
_HIGH_RISK = "High-risk:"
_OVERRIDES = "Overrides (must be rare):"
_LOCAL_ONLY = "local_only"
_HR = "HR"
_NO_ROLES = "Roles exercised"
_GUARDRAILS = "Guardrails still apply"


class SpecRole(Document):
    label: Label
    """How specs write the role."""
    role: Name
    """The pack's name for it."""


class InfrastructureForm(Document):
    """The short block of a spec that calls no model (CX-106)."""

    statement: Text
    roles: Text
    """What the line ``Roles exercised`` says."""


class SpecRules(Document):
    """What a pack says a spec must cite."""

    heading: Annotated[str, Field(pattern=r"^#{1,6} \S[^\r\n]*$", max_length=200)]
    policy_path: Annotated[str, Field(pattern=r"^[^\s()]+$", max_length=200)]
    policy_version: Annotated[str, Field(pattern=r"^\d+(\.\d+){1,2}$", max_length=32)]
    roles: Annotated[tuple[SpecRole, ...], Field(min_length=1, max_length=32)]
    """Only roles a spec may declare; infrastructure lanes are always there and never listed."""
    routing_mode: Text
    lanes: Annotated[dict[Label, Text], Field(min_length=1)]
    tiers: Annotated[dict[Name, Text], Field(min_length=1)]
    infrastructure: InfrastructureForm
    guardrails: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Those that hold for every spec, an infrastructure-only one included."""
    overrides_rare_ratio: Ratio
    """Above this share of specs with overrides, overrides are no longer rare (CX-105)."""
    overrides_rare_derived: Sentence
    """Why this ratio: the source says rare and gives no figure."""

    @property
    def policy_line(self) -> str:
        return f"{_POLICY}: {self.policy_path} (version: {self.policy_version})"


class SpecBlockError(ValueError):
    """A spec whose block cannot be used, in one sentence: file, line, field, found, remedy.

    ``found`` is None where the field is missing; ``line`` is then where the section begins.
    """

    def __init__(self, file: str, line: int, field: str, found: str | None, remedy: str) -> None:
        shown = "is missing" if found is None else f"is {_shown(found)}"
        self.problem = f"{file}:{line}: {field} {shown}"
        super().__init__(f"{self.problem}; {remedy}")
        self.file = file
        self.line = line
        self.field = field
        self.found = found
        self.remedy = remedy


class SpecBlock(BaseModel):
    """What a spec's block states. ``roles`` are the pack's names, in the pack's order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy_version: str
    roles: tuple[str, ...]
    """Those marked YES; none for an infrastructure-only spec."""
    local_only: bool
    high_risk: bool
    overrides: tuple[str, ...]
    infrastructure_only: bool
    guardrails: tuple[str, ...]

    def facts(self, name: Name) -> SpecFacts:
        """The same as a task of the spec ``name`` carries it."""
        return SpecFacts(
            name=name,
            policy_version=self.policy_version,
            roles=self.roles,
            local_only=self.local_only,
            high_risk=self.high_risk,
            infrastructure_only=self.infrastructure_only,
        )


def parse_spec(text: str, rules: SpecRules, *, file: str) -> SpecBlock:
    """Read the block of a spec, full or infrastructure-only. ``file`` stands in errors.

    Raises:
        SpecBlockError: the section is missing, incomplete, not filled in, or differs from the pack
            without an override that says so. The first fault, top to bottom.
    """
    _refuse_size(text, file)
    section = _the_section(text, rules, file)
    if any(line.text == rules.infrastructure.statement for line in section.lines):
        return _Short(file, rules, section).read()
    return _Full(file, rules, section).read()


def _shown(text: str) -> str:
    """As an error may quote it: on one line, escaped, and short."""
    return repr(text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…")


def _refuse_size(text: str, file: str) -> None:
    if len(text) <= SPEC_BYTES_MAX:  # else the bytes are at least as many
        try:
            size_bytes = len(text.encode())
        except UnicodeEncodeError as error:
            line = text.count("\n", 0, error.start) + 1
            found = text[error.start : error.end]
            raise SpecBlockError(file, line, "text", found, "save it as UTF-8") from None
        if size_bytes <= SPEC_BYTES_MAX:
            return
    raise SpecBlockError(file, 1, "text", "too long", f"keep it within {SPEC_BYTES_MAX} bytes")


def _the_section(text: str, rules: SpecRules, file: str) -> Section:
    search = find_sections(text, rules.heading)
    if len(search.sections) > 1:
        again, first = search.sections[1].heading, search.sections[0].heading
        remedy = f"the section stands on line {first.number} already; keep one"
        raise SpecBlockError(file, again.number, "heading", again.text, remedy)
    if search.sections:
        return search.sections[0]
    if search.lookalikes:
        like = search.lookalikes[0]
        remedy = f'write "{rules.heading}" as a heading of that level, outside any code fence'
        raise SpecBlockError(file, like.number, "heading", like.text, remedy)
    raise SpecBlockError(file, 1, "heading", None, f'add the section "{rules.heading}"')


@dataclass
class _Form:
    """What both forms have in common: where each field was stated, and how to refuse one."""

    file: str
    rules: SpecRules
    section: Section
    lines_by_field: dict[str, int] = field(default_factory=dict)
    version: str = ""
    local_only: bool = False

    def refuse(self, line: Line, name: str, found: str, remedy: str) -> SpecBlockError:
        return SpecBlockError(self.file, line.number, name, found, remedy)

    def once(self, line: Line, name: str) -> None:
        if name in self.lines_by_field:
            remedy = f"line {self.lines_by_field[name]} states {name} already; remove one"
            raise self.refuse(line, name, line.text, remedy)
        self.lines_by_field[name] = line.number

    def need(self, names: Iterable[tuple[str, str]]) -> None:
        """Each field, given with a line that would state it, stands in the section."""
        for name, example in names:
            if name not in self.lines_by_field:
                fenced = " outside the code fence" if self.section.has_fence else ""
                remedy = f'add the line "{example}"{fenced}'
                raise SpecBlockError(self.file, self.section.heading.number, name, None, remedy)

    def read_policy(self, line: Line) -> None:
        self.once(line, _POLICY)
        if line.text != self.rules.policy_line:
            remedy = f'cite the policy in force with "{self.rules.policy_line}"'
            raise self.refuse(line, _POLICY, _value(line.text, ":"), remedy)
        self.version = self.rules.policy_version

    def choose(self, line: Line, name: str, value: str, choices: tuple[str, str]) -> bool:
        """Whether ``value``, but for a comment behind it, is the first of ``choices``."""
        self.once(line, name)
        said = value.partition("#")[0].strip()
        if said not in choices:
            remedy = f"fill in {choices[0]} or {choices[1]}"
            raise self.refuse(line, name, said, remedy)
        return said == choices[0]

    def read_local_only(self, line: Line, statement: str) -> None:
        name, _, value = statement.partition("=")
        if name.strip() != _LOCAL_ONLY:
            raise self.refuse(line, "Privacy", statement, "state local_only = true or false")
        self.local_only = self.choose(line, _LOCAL_ONLY, value, ("true", "false"))


class _Short(_Form):
    def read(self) -> SpecBlock:
        short = self.rules.infrastructure
        guardrails = ", ".join(self.rules.guardrails)
        exact = {_NO_ROLES: short.roles, _GUARDRAILS: f"{guardrails}."}
        for line in self.section.lines:
            name = line.text.partition(":")[0]
            if not line.text or line.is_rule:
                continue
            if line.text == short.statement:
                self.once(line, "statement")
            elif name == _POLICY:
                self.read_policy(line)
            elif f"{name}:" == _PRIVACY:
                self.read_local_only(line, _value(line.text, ":"))
            elif name in exact:
                self.once(line, name)
                if _value(line.text, ":").rstrip(".") != exact[name].rstrip("."):
                    remedy = f'an infrastructure-only spec says "{name}: {exact[name]}"'
                    raise self.refuse(line, name, _value(line.text, ":"), remedy)
            else:
                remedy = "an infrastructure-only section states nothing else; move it out"
                raise self.refuse(line, "section", line.text, remedy)
        self.need(
            [
                (_POLICY, self.rules.policy_line),
                *((name, f"{name}: {value}") for name, value in exact.items()),
                (_LOCAL_ONLY, "Privacy: local_only = false"),
            ]
        )
        return SpecBlock(
            policy_version=self.version,
            roles=(),
            local_only=self.local_only,
            high_risk=False,
            overrides=(),
            infrastructure_only=True,
            guardrails=self.rules.guardrails,
        )


@dataclass
class _Full(_Form):
    group: str = ""
    answers: dict[str, bool] = field(default_factory=dict)
    high_risk: bool = False
    overrides: list[str] = field(default_factory=list)
    is_wrapped: bool = False
    """The line above is an override, which an indented line goes on with."""
    differing: list[tuple[Line, str, str]] = field(default_factory=list)
    """Lines that differ from the pack: the line, its name, and what the pack says."""

    def read(self) -> SpecBlock:
        for line in self.section.lines:
            if not line.text or line.is_rule:
                self.is_wrapped = False
            elif line.entry is not None:
                self._entry(line, line.entry)
            elif self.is_wrapped and line.is_indented:
                self._override(line, f"{self.overrides.pop()} {line.text}")
            else:
                self._statement(line)
        self._complete()
        self._differences_are_named()
        return SpecBlock(
            policy_version=self.version,
            roles=tuple(each.role for each in self.rules.roles if self.answers[each.label]),
            local_only=self.local_only,
            high_risk=self.high_risk,
            overrides=tuple(each for each in self.overrides if not _is_none(each)),
            infrastructure_only=False,
            guardrails=self.rules.guardrails,
        )

    def _statement(self, line: Line) -> None:
        self.group, self.is_wrapped = "", False
        name = line.text.partition(":")[0]
        if line.text in (_ROLES, _TIERS, _PRIVACY, _HIGH_RISK, _OVERRIDES):
            self.once(line, name)
            self.group = line.text
        elif name == _POLICY:
            self.read_policy(line)
        elif name == _MODE:
            self._compare(line, name, _value(line.text, ":"), self.rules.routing_mode)
        elif name in self.rules.lanes:
            self._compare(line, name, _value(line.text, ":"), self.rules.lanes[name])
        else:
            remedy = "it is no line of this section; correct it or move it out of the section"
            raise self.refuse(line, "section", line.text, remedy)

    def _entry(self, line: Line, entry: str) -> None:
        readers = {
            _ROLES: self._role,
            _TIERS: self._tier,
            _PRIVACY: self.read_local_only,
            _HIGH_RISK: self._read_high_risk,
            _OVERRIDES: self._override,
        }
        if self.group not in readers:
            remedy = "it stands under no list of this section; correct or remove it"
            raise self.refuse(line, "entry", entry, remedy)
        readers[self.group](line, entry)

    def _role(self, line: Line, entry: str) -> None:
        label, _, value = (part.strip() for part in entry.partition(":"))
        if label not in {each.label for each in self.rules.roles}:
            known = ", ".join(each.label for each in self.rules.roles)
            raise self.refuse(line, "role", label, f"the roles of a spec are {known}")
        self.answers[label] = self.choose(line, f"role {label}", value, ("YES", "NO"))

    def _tier(self, line: Line, entry: str) -> None:
        name, _, value = (part.strip() for part in entry.partition(":"))
        if name not in self.rules.tiers:
            raise self.refuse(line, "tier", name, f"the tiers are {', '.join(self.rules.tiers)}")
        self._compare(line, name, value, self.rules.tiers[name], field=f"tier {name}")

    def _read_high_risk(self, line: Line, entry: str) -> None:
        name, _, value = (part.strip() for part in entry.partition("="))
        if name != _HR:
            raise self.refuse(line, "High-risk", entry, "state HR = YES or NO")
        # The form's own note stands in brackets behind the value.
        said, _, note = value.partition(" (")
        said = said if not note or note.rstrip().endswith(")") else value
        self.high_risk = self.choose(line, _HR, said, ("YES", "NO"))

    def _override(self, line: Line, entry: str) -> None:
        name = _OVERRIDES.rstrip(":")
        self.overrides.append(entry)
        self.is_wrapped = True
        if _is_unfilled(entry) or _is_unfilled(_value(entry, ":")):
            raise self.refuse(line, name, entry, "fill in none, or what is overridden and why")
        if len(entry) > OVERRIDE_CHARACTERS_MAX or len(self.overrides) > OVERRIDES_MAX:
            remedy = f"keep to {OVERRIDES_MAX} entries of {OVERRIDE_CHARACTERS_MAX} characters"
            raise self.refuse(line, name, entry, remedy)
        if len(self.overrides) > 1 and any(map(_is_none, self.overrides)):
            raise self.refuse(line, name, entry, 'it stands beside "none"; remove one of them')

    def _compare(self, line: Line, name: str, found: str, stated: str, field: str = "") -> None:
        self.once(line, field or name)
        if found != stated:
            self.differing.append((line, name, stated))

    def _complete(self) -> None:
        rules = self.rules
        self.need([(_POLICY, rules.policy_line), (_ROLES.rstrip(":"), _ROLES)])
        self.need((f"role {each.label}", f"- {each.label}: NO") for each in rules.roles)
        self.need([(_MODE, f"{_MODE}: {rules.routing_mode}")])
        self.need((name, f"{name}: {text}") for name, text in rules.lanes.items())
        self.need((f"tier {name}", f"- {name}: {text}") for name, text in rules.tiers.items())
        self.need([(_LOCAL_ONLY, "- local_only = false"), (_HR, "- HR = NO")])
        self.need([(_OVERRIDES.rstrip(":"), _OVERRIDES)])
        if not self.overrides:
            at = self.lines_by_field[_OVERRIDES.rstrip(":")]
            raise SpecBlockError(
                self.file, at, "entry of Overrides", None, 'add "- none", or what is overridden'
            )

    def _differences_are_named(self) -> None:
        """An override names a line by beginning with it: ``Judge: why`` (CX-101)."""
        named = {each.partition(":")[0].strip() for each in self.overrides if _value(each, ":")}
        for line, name, stated in self.differing:
            if name not in named:
                remedy = f'write "{stated}" as the pack does, or add "- {name}: <reason>" to '
                remedy += _OVERRIDES.rstrip(":")
                raise self.refuse(line, name, _value(line.text, ":"), remedy)


def _value(text: str, sign: str) -> str:
    return text.partition(sign)[2].strip()


def _is_none(entry: str) -> bool:
    return entry.casefold() == "none"


def _is_unfilled(value: str) -> bool:
    return value.startswith("<") and value.endswith(">")

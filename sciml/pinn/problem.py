"""A problem: equations for unknowns on a domain, conditions, and what is known of the solution.

It is checked at the door: every residual is evaluated once on a few points, which finds mistyped
names and wrong shapes and tells which derivatives each residual needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from sciml.contracts import UserError
from sciml.pinn import names
from sciml.pinn.coefficients import Coefficient, is_number
from sciml.pinn.conditions import Condition
from sciml.pinn.domain import Domain
from sciml.pinn.fields import RESERVED, Asked, Fields, check_shape, record
from sciml.pinn.points import Points
from sciml.pinn.regions import At, Interior, Region
from sciml.pinn.samplers import uniform

#: Key of the equations' points, and of the evaluation grid; no condition may be called so.
RESIDUAL, TRUTH = "residual", "truth"
#: Points on which residuals are tried out: more than one, and no usual number of columns.
TRIAL = 5


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """A boundary or initial value problem.

    Args:
        name: of the problem.
        domain: where.
        unknowns: names of the network's outputs.
        equations: fields → {name: residual `[n]`}.
        conditions: beside the equations.
        exact: fields (coordinates only) → {unknown: `[n]`}, where the solution is known.
        reference: file of a reference solution (see `sciml.pinn.reference`).
        compared: unknowns and derived fields whose error is reported; by default all whose truth
            is known. A pressure known up to a constant is left out.
        derived: name → function of the fields `[n]`: what else is reported, as velocity from psi.
        units: name of a coordinate, unknown or derived field → unit.
        long_names: likewise → description.
        constants: name → number that residuals read as `f.Re`; a phase may change it.
        coefficients: name → unknown number, a field that does not vary: `f.lambda1` is `[n]`.

    After construction `equation_names`, `terms` and `asked` tell the loss terms, and the fields
    needed at the points of each key ("residual" and the conditions' names).
    """

    name: str
    domain: Domain
    unknowns: tuple[str, ...]
    equations: Callable[[Fields], dict[str, Tensor]]
    conditions: tuple[Condition, ...] = ()
    exact: Callable[[Fields], dict[str, Tensor]] | None = None
    reference: Path | None = None
    compared: tuple[str, ...] | None = None
    derived: Mapping[str, Callable[[Fields], Tensor]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    long_names: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    coefficients: Mapping[str, Coefficient] = field(default_factory=dict)
    equation_names: tuple[str, ...] = field(init=False, default=())
    terms: tuple[str, ...] = field(init=False, default=())
    asked: Mapping[str, Asked] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        unknowns = (self.unknowns,) if isinstance(self.unknowns, str) else tuple(self.unknowns)
        self._set(unknowns=unknowns, conditions=tuple(self.conditions))
        self._set(reference=None if self.reference is None else Path(self.reference))
        self._check_names()
        self._check_constants()
        answer, asked = self.record(self.equations, Interior(), "equations")
        self._set(equation_names=self._equation_names(answer))
        tried = {c.name: self._try(c) for c in self.conditions}
        self._set(asked={RESIDUAL: asked, **tried})
        self._set(terms=self._loss_terms())
        self._check_descriptions()
        self._check_derived()
        self._check_truth()

    def _set(self, **values: Any) -> None:
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the network's inputs: space first, "t" last."""
        return self.domain.coordinates

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model's outputs: the unknowns, then the unknown numbers."""
        return (*self.unknowns, *self.coefficients)

    def fields(
        self,
        points: Points,
        values: Mapping[str, Tensor] | None = None,
        image: Mapping[str, Tensor] | None = None,
    ) -> Fields:
        """What residuals see at `points`: coordinates, `values` of fields, constants."""
        return Fields(self.coordinates, points, values, image, self.constants)

    def at(self, constants: Mapping[str, float]) -> "Problem":
        """The same problem with other values of some constants."""
        for name in constants:
            if name not in self.constants:
                raise UserError(
                    f"{self.name}: constants: expected one of {tuple(self.constants)}, "
                    f"got {name!r}; {names.nearest(name, self.constants)}"
                )
        return replace(self, constants={**self.constants, **constants})

    def record(
        self, function: Callable[[Fields], Any], region: Region, label: str
    ) -> tuple[Any, Asked]:
        """What `function` returns on a few points of `region`, and the fields it asked for."""
        try:
            points = self._trial(region)
            return record(function, self.outputs, self.coordinates, points, self.constants)
        except UserError as error:
            raise UserError(f"{self.name}: {label}: {error}") from None

    def truth(self, x: Tensor) -> dict[str, Tensor]:
        """The exact solution at `x` `[n, d]`: name → `[n]`."""
        if self.exact is None:
            raise UserError(f"{self.name}: expected an exact solution, got none; pass exact=")
        values = self.exact(self.fields(Points(x)))
        return {k: check_shape(f"exact {k}", v, len(x)) for k, v in values.items()}

    def _trial(self, region: Region) -> Points:
        if isinstance(region, At):
            region.check(self.domain)
            return region.sample(self.domain, len(region), uniform, np.random.default_rng(0))
        return region.sample(self.domain, TRIAL, uniform, np.random.default_rng(0))

    def _check_names(self) -> None:
        if not self.unknowns:
            raise UserError(f"{self.name}: expected at least one unknown, got none")
        taken: list[str] = [*self.coordinates]
        for unknown in (*self.outputs, *self.derived, *self.constants):
            valid = unknown.isidentifier() and unknown not in RESERVED and unknown[0] != "_"
            others = tuple(u for u in self.outputs if u != unknown)
            derivative = names.is_field(unknown, others, self.coordinates) and unknown not in others
            if not valid or derivative or unknown in taken:
                raise UserError(
                    f"{self.name}: expected fields named by different identifiers, "
                    f"got {unknown!r}, which is taken or no name; taken: {[*taken, *RESERVED]}"
                )
            taken.append(unknown)
        conditions = [condition.name for condition in self.conditions]
        for name in conditions:
            if conditions.count(name) > 1 or name in (RESIDUAL, TRUTH):
                raise UserError(
                    f"{self.name}: expected conditions of different names, other than "
                    f"{RESIDUAL!r} and {TRUTH!r}, got {name!r}; set name="
                )

    def _check_constants(self) -> None:
        for name, value in self.constants.items():
            if not is_number(value):
                raise UserError(
                    f"{self.name}: constants: expected a finite number for {name!r}, got {value!r}"
                )
        for name, coefficient in self.coefficients.items():
            if not isinstance(coefficient, Coefficient):
                raise UserError(
                    f"{self.name}: coefficients: expected a Coefficient for {name!r}, "
                    f"got {coefficient!r}; write Coefficient(initial=…)"
                )
        self._set(constants={name: float(value) for name, value in self.constants.items()})

    def _equation_names(self, answer: Any) -> tuple[str, ...]:
        if not isinstance(answer, dict) or not answer:
            raise UserError(
                f"{self.name}: equations: expected a dict of named residuals, "
                f"got {type(answer).__name__}; return {{'name': residual}}"
            )
        for name, value in answer.items():
            check_shape(f"{self.name}: equation {name!r}", value, TRIAL)
        return tuple(answer)

    def _try(self, condition: Condition) -> Asked:
        label = f"condition {condition.name!r}"
        answer, asked = self.record(condition.residual, condition.region, label)
        n = len(condition.region) if isinstance(condition.region, At) else TRIAL
        check_shape(f"{self.name}: {label}", answer, n)
        return asked

    def _loss_terms(self) -> tuple[str, ...]:
        terms = dict.fromkeys(self.equation_names)
        for condition in self.conditions:
            if condition.term in self.equation_names:
                raise UserError(
                    f"{self.name}: condition {condition.name!r}: expected a term other than the "
                    f"equations' {self.equation_names}, got {condition.term!r}; rename one"
                )
            terms[condition.term] = None
        for term in terms:
            if not term.replace("-", "_").isidentifier():
                raise UserError(f"{self.name}: expected a term named in letters, got {term!r}")
        return tuple(terms)

    def _check_descriptions(self) -> None:
        known = (*self.coordinates, *self.outputs, *self.derived, *self.constants)
        lists = {"compared": self.compared or (), "units": self.units}
        for label, described in {**lists, "long_names": self.long_names}.items():
            for name in described:
                if name not in known:
                    raise UserError(
                        f"{self.name}: {label}: expected one of {known}, got {name!r}; "
                        + names.nearest(name, known)
                    )

    def _check_derived(self) -> None:
        for name, function in self.derived.items():
            answer, _ = self.record(function, Interior(), f"derived {name!r}")
            check_shape(f"{self.name}: derived {name!r}", answer, TRIAL)

    def _check_truth(self) -> None:
        if self.exact is None:
            return
        x = self._trial(Interior()).x
        try:
            values = self.truth(x)
        except UserError as error:
            raise UserError(f"{self.name}: exact: {error}") from None
        needed = self.unknowns if self.compared is None else self.compared
        missing = [name for name in needed if name not in values]
        if missing:
            raise UserError(
                f"{self.name}: exact: expected values of {needed}, got {tuple(values)}; "
                f"add {missing}"
            )
        if not all(torch.isfinite(value).all() for value in values.values()):
            raise UserError(f"{self.name}: exact: expected finite values inside, got nan or inf")

"""The toy at a pace: every batch takes a while, so that there is time to interrupt the run."""

import time

from sciml_cases.toy import case as toy

from sciml.contracts import System


class Paced(toy.Draws):
    def __init__(self, points: int, seed: int, pause: float) -> None:
        super().__init__(points, seed)
        self.pause = pause

    def batch(self, step: int) -> toy.Line:
        time.sleep(self.pause)
        return super().batch(step)


def system(points: int, seed: int, pause: float) -> System:
    """Args: pause: seconds that a batch takes."""
    plain = toy.system(points, seed)
    data = Paced(points, seed, pause)
    return System(plain.model, plain.objective, data, plain.metric, plain.predictor, plain.figures)

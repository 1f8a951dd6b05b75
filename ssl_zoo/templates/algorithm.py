"""A method with one consistency term."""

from ssl_zoo.templates import Template

CODE = '''"""@TITLE@: what it does, in a line.

Its source: authors, venue, arXiv:number.
"""

from ssl_zoo import ALGORITHMS, AlgorithmBase, Step
from ssl_zoo.losses import cross_entropy, squared_error
from ssl_zoo.schedules import ramp


@ALGORITHMS.register("@NAME@")
class @CLASS@(AlgorithmBase):
    """@TITLE@: two random views of an image should get one prediction, and the second view is the target.

    Args:
        weight: Of the consistency term.
        ramp_length: Length of the weight's rise, as a fraction of the run.
    """

    views = ("weak", "weak")  # the unlabelled views it needs. The first is "weak"; the recipe says what that is
    targets = (1,)  # the second view is a target only: no gradient flows through it
    weights = {"consistency": "weight"}  # which option weighs which unsupervised term

    # Options are given by keyword, have a type and a default, and are documented above. `facts` has the number of
    # classes K and of rows N, the labelled rows with their labels, and the unlabelled rows.
    def __init__(self, net, facts, *, weight: float = 30.0, ramp_length: float = 0.3):
        super().__init__(net, facts)
        self.weight, self.ramp_length = weight, ramp_length
        # A teacher is a submodule: self.teacher = ssl_zoo.ema.Teacher(net, decay). A memory is a buffer with its full
        # shape: self.register_buffer("memory", torch.zeros(facts.rows, facts.classes)). So state_dict() is the
        # checkpoint.

    # Reads state and writes none; no .item(), no `if` on a tensor's value. `progress` is the fraction of the run that
    # is done.
    def loss(self, batch, progress):
        own, other = batch.u  # (U, C, H, W) each: two views of the rows batch.u_index
        labeled, own, other = self.student_logits(batch.x, own, other)  # (B, K), (U, K), (U, K), from one forward pass
        supervised = cross_entropy(labeled, batch.y, weight=self.class_weights)
        consistency = squared_error(own.softmax(dim=1), other.softmax(dim=1).detach())  # detached: the target
        weight = self.weight * ramp(progress, "sigmoid", self.ramp_length)
        total = supervised + weight * consistency
        return Step(total, {"supervised": supervised, "consistency": consistency, "weight": weight})

    # `def after_step(self, seen, progress)` writes the state, after the optimiser's step; `seen` is the third part of
    # the Step above, such as {"index": batch.u_index, "probabilities": own.detach()}. `def eval_net(self)` returns
    # what is scored, if it is not the net, such as self.teacher.net.
'''

TEST = '''"""Is @NAME@ right? Run this file, or pytest."""

from ssl_zoo.testing import CheckFailed, check_algorithm

from @MODULE@ import @CLASS@


def test_@MODULE@():
    check_algorithm(@CLASS@)


if __name__ == "__main__":
    try:
        print(check_algorithm(@CLASS@))
    except CheckFailed as failed:
        raise SystemExit(str(failed)) from None
'''

RECIPE = """# The options of @NAME@, to be laid on top of a recipe: --recipe digits --recipe @MODULE@.yaml

algorithms:
  @KEY@: {weight: 30, ramp_length: 0.3}  # where each number comes from
"""

SAID = """@MODULE@.py: the method, working as it is; change it
test_@MODULE@.py: its test, the conformance check. Run it:
    python test_@MODULE@.py
@MODULE@.yaml: its options as a recipe. Train it with its defaults, then with the recipe:
    @RUN@ --plugin @MODULE@.py --alg @NAME@ --net wrn28_2
    @RUN@ --plugin @MODULE@.py --alg @NAME@ --net wrn28_2 --recipe digits --recipe @MODULE@.yaml --seed 1"""

TEMPLATE = Template("a method", CODE, TEST, SAID, RECIPE)

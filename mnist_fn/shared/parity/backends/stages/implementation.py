"""One of the two backends, as the stages of a diagnosis use it."""

from dataclasses import dataclass, field, replace
from functools import cached_property

from mnist_fn.shared.backend import Backend
from mnist_fn.shared.config import Config
from mnist_fn.shared.parity.backends.checks import Pair

PICTURES = 24  # read back pixel by pixel


@dataclass(frozen=True)
class Implementation:
    """One of the two backends; others of its kind are made once each."""

    pair: Pair
    index: int
    backend: Backend
    _others: dict[Config, Backend] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name; both have one where a backend is compared with itself."""
        return self.backend.name

    @property
    def dtype(self) -> str:
        """Of its arithmetic."""
        return self.pair.config.dtype

    def of(self, pair: Pair) -> Backend:
        """The same side of another pair, one of each Config."""
        if pair is self.pair:
            return self.backend
        if pair.config not in self._others:
            make, device = pair.makers[self.index]
            self._others[pair.config] = make(pair.config, pair.dataset, device)
        return self._others[pair.config]

    @cached_property
    def linear(self) -> Backend:
        """The same side as a linear model on few examples, whose pixels can be read."""
        small = replace(
            self.pair.dataset,
            train=self.pair.dataset.train.first(1000),
            test=self.pair.dataset.test.first(PICTURES),
        )
        config = self.pair.config.replace(hidden=())
        config = config.replace(batch_size=min(config.batch_size, len(small.train)))
        make, device = self.pair.makers[self.index]
        return make(config, small, device)

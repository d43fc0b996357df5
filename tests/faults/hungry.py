"""As worker.py, but every step of the fake pipeline takes 64 MB and never gives them back."""

from tests.faults.worker import main
from tests.jobs import fake

STEP_BYTES = 64_000_000


class Hungry:
    """Stands for the module `time` in the fake pipeline."""

    _eaten: list[bytes] = []

    @classmethod
    def sleep(cls, _: float) -> None:
        cls._eaten.append(b"x" * STEP_BYTES)


fake.time = Hungry  # type: ignore[assignment]

if __name__ == "__main__":
    main()

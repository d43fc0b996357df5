from tests.faults.figures import measured

__all__ = ["measured"]

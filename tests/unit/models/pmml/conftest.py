from tests.unit.pmml4s import pmml4s

__all__ = ["pmml4s"]

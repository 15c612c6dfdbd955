"""What pyproject.toml cannot say: the twistd plugin lives in Twisted's own namespace."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["kwic", "kwic.*"]), "twisted.plugins"],
    package_data={"twisted.plugins": ["kwic_plugin.py"]},
)

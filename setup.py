"""What pyproject.toml cannot say: the twistd plugin lives in Twisted's own namespace, and `kwic demo` needs the files of etc/."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["kwic", "kwic.*"]), "kwic._etc", "twisted.plugins"],
    package_dir={"kwic._etc": "etc"},
    # What MANIFEST.in names is for the source distribution alone.
    include_package_data=False,
    package_data={"kwic._etc": ["*/*.xml"], "twisted.plugins": ["kwic_plugin.py"]},
)

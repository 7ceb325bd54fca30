"""The commands of CONTRIBUTING.md, each in an environment of its own: `nox -s tests-3.12`; `nox -l` lists them."""

import nox

nox.options.sessions = ["lint", "types", "public_types", "tests", "docs", "wheel"]
nox.options.error_on_missing_interpreters = False


@nox.session
def lint(session: nox.Session) -> None:
    """Look for mistakes, and at the form."""
    session.install("ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the code and of what is public."""
    session.install("--editable", ".[dev]")
    session.run("mypy")
    session.run("pyright")


@nox.session
def public_types(session: nox.Session) -> None:
    """Check that the types of all that is public are known, as users have it: installed, away from the source tree."""
    session.install(".[cli]", "pyright[nodejs]")
    session.chdir(session.create_tmp())
    session.run("pyright", "--verifytypes", "aiolosant", "--ignoreexternal")


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the tests on each Python that is there."""
    session.install("--editable", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the pages."""
    session.install("--editable", ".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "docs", "build/docs")


@nox.session
def wheel(session: nox.Session) -> None:
    """Test what is packed."""
    session.run("bash", ".ci/wheel", external=True)

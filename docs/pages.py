"""Pages of the documentation that come from elsewhere in the repository: for ``make docs``."""

import base64
import contextlib
import inspect
import io
import json
import os
import posixpath
import re
import sys
from importlib import import_module
from pathlib import Path

import mkdocs_gen_files

from visattn.blocks.registry import FAMILIES, block_entry, block_names
from visattn.cli import main
from visattn.commands import COMMANDS, GROUPS
from visattn.commands.block_facts import block_facts

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))
from data_flow import data_flow  # noqa: E402

REFERENCE = {
    "visattn": "The verbs",
    "visattn.blocks": "Blocks and their registry",
    "visattn.attention": "Query, key, value",
    "visattn.recording": "Recordings",
    "visattn.pictures": "Pictures",
    "visattn.metrics": "Metrics",
    "visattn.evaluation": "Maps measured",
    "visattn.auditing": "Audit",
    "visattn.report_page": "The page",
    "visattn.exporting": "Export",
    "visattn.data": "Data",
    "visattn.training": "Training",
    "visattn.sequence": "Sentences",
    "visattn.testing": "Checks for blocks and models of your own",
}


def site_path(source: Path) -> str:
    """Where a file of the repository lies on the site."""
    path = source.relative_to(ROOT).as_posix()
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


def write(path: str, text: str) -> None:
    """Write a page."""
    with mkdocs_gen_files.open(path, "w") as page:
        page.write(text)


def copied(source: Path) -> str:
    """The path on the site of a file that a page links to; pages are written by themselves."""
    if source.is_dir():
        source = source / "README.md"
    path = site_path(source)
    if source.suffix == ".ipynb":
        return path.replace(".ipynb", ".md")
    if source.suffix != ".md" and ROOT / "docs" not in source.parents:
        with mkdocs_gen_files.open(path, "wb") as file:
            file.write(source.read_bytes())
    return path


def relinked(text: str, source: Path) -> str:
    """A page with its links to files of the repository as they are on the site."""
    here = posixpath.dirname(site_path(source))

    def link(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(source.parent / found[1]))
        return f"]({posixpath.relpath(copied(target), here or '.')}{found[2] or ''})"

    return re.sub(r"\]\(([^)#:\s]+)(#[^)]*)?\)", link, text)


def lesson(source: Path) -> str:
    """A notebook as a page, with what its cells printed and drew."""
    parts = []
    for number, cell in enumerate(json.loads(source.read_text(encoding="utf-8"))["cells"]):
        text = re.sub(r"\[!\[(Open in Colab)\]\(.*?\)\]", r"[\1]", "".join(cell["source"]))
        if cell["cell_type"] == "markdown":
            parts.append(relinked(text, source))
            continue
        parts.append(f"```python\n{text}\n```")
        for order, output in enumerate(cell["outputs"]):
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{source.stem}_{number}_{order}.png"
                with mkdocs_gen_files.open(f"notebooks/{name}", "wb") as file:
                    file.write(base64.b64decode("".join(data["image/png"])))
                parts.append(f"![What the cell above draws]({name})")
            else:
                printed = "".join(output.get("text", data.get("text/plain", "")))
                parts.append(f"```text\n{printed.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def public(package: str) -> list[str]:
    """The full paths of a package's public classes and functions, where they are defined."""
    module = import_module(package)
    things = [getattr(module, name) for name in module.__all__]
    found = [t for t in things if inspect.isclass(t) or inspect.isfunction(t)]
    return list(dict.fromkeys(f"{thing.__module__}.{thing.__qualname__}" for thing in found))


def block_page(name: str) -> str:
    """A block: what it is, what it costs, its data flow, and its class."""
    entry = block_entry(name)
    stages = "all stages" if entry.stages is None else f"stages {entry.stages}"
    place = f"`at={entry.at!r}`, {stages}" + ("" if entry.every == 1 else f", every {entry.every}")
    facts = block_facts(entry, channels=256, side=14)
    kind = f"{entry.kind.__module__}.{entry.kind.__qualname__}"
    owner = next(n for n in block_names() if block_entry(n).factory is entry.kind)
    about = f"::: {kind}" if owner == name else f"That of [{owner}]({owner}.md), with options."
    return (
        f"# {name}\n\n{entry.summary}\n\n"
        f'```python\nvisattn.wrap(model, "{name}")\n```\n\n'
        f"Goes to {place}, stands {entry.stands} the module there. On a map of 256 x 14 x 14 it has"
        f" {facts.parameters:,} parameters, takes {facts.multiply_adds:,} multiply-adds and, in its"
        f" plain form, keeps {facts.kept:.3g} maps of that size for the backward pass."
        f" {entry.source}\n\n## Data flow\n\n"
        f"{data_flow(entry.factory(32).eval(), title=f'The data flow of {name}')}\n\n"
        "Drawn from a trace of the block: boxes in orange can be recorded, and steps that only"
        f" arrange values have none.\n\n## The class\n\n{about}\n"
    )


def help_of(*words: str) -> str:
    """What ``visattn WORDS --help`` prints at 80 columns."""
    os.environ["COLUMNS"] = "80"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main([*words, "--help"])
    return printed.getvalue().replace("usage: mkdocs", "usage: visattn")


nav = ["- [Start](index.md)"]

nav += ["- Guides"]
for page in ("wrap", "detect", "finetune", "focus", "masks", "audit", "see", "sentences"):
    nav += [f"    - [{page.capitalize()}](guides/{page}.md)"]
nav += ["    - [Many machines](many_machines.md)", "    - [Glossary](glossary.md)"]

nav += ["- Blocks", "    - [What others call them](names.md)"]
for family, title in FAMILIES.items():
    nav += [f"    - {title}"]
    for name in block_names():
        if block_entry(name).family == family:
            write(f"blocks/{name}.md", block_page(name))
            nav += [f"        - [{name}](blocks/{name}.md)"]

nav += ["- Recipes", "    - [All](recipes/README.md)"]
for page in sorted((ROOT / "recipes").glob("*/*.md")):
    title = page.parent.name + ("" if page.stem == "README" else f": {page.stem}")
    nav += [f"    - [{title}](recipes/{page.parent.name}/{page.name})"]

nav += ["- Lessons", "    - [All](notebooks/README.md)"]
lessons = (ROOT / "notebooks").glob("*.ipynb")
for notebook in sorted(lessons, key=lambda path: int(path.stem.partition("_")[0])):
    write(f"notebooks/{notebook.stem}.md", lesson(notebook))
    title = notebook.stem.partition("_")[2].replace("_", " ").capitalize()
    nav += [f"    - [{title}](notebooks/{notebook.stem}.md)"]

nav += ["- Evidence"]
for page in ("contract", "matrix", "activation", "transformers", "systems"):
    nav += [f"    - [{page.capitalize()}]({page}.md)"]

nav += ["- Reference", "    - [Commands](reference/commands.md)"]
words = [(name,) for name in COMMANDS] + [(g, a) for g, (_, acts) in GROUPS.items() for a in acts]
sections = [f"## visattn {' '.join(w)}\n\n```text\n{help_of(*w).rstrip()}\n```" for w in words]
write("reference/commands.md", "# Commands\n\n" + "\n\n".join(sections) + "\n")
for package, title in REFERENCE.items():
    about = inspect.getdoc(import_module(package)) or ""
    body = "\n\n".join(f"::: {path}" for path in public(package))
    write(f"reference/{package}.md", f"# {title}\n\n{about}\n\n{body}\n")
    nav += [f"    - [{title}](reference/{package}.md)"]

nav += ["- [日本語](README.ja.md)", "- [Working on visattn](CONTRIBUTING.md)"]

pages = [ROOT / "README.md", ROOT / "README.ja.md", ROOT / "CONTRIBUTING.md"]
for folder in ("docs", "recipes", "notebooks"):
    pages += sorted((ROOT / folder).rglob("*.md"))
for page in pages:
    if page.is_file():
        write(site_path(page), relinked(page.read_text(encoding="utf-8"), page))
write("nav.md", "\n".join(nav) + "\n")

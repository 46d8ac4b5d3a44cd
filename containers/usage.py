"""The images' default command: says what the component does and which parameters it takes.

    python3 /app/usage.py train

Reads the core's source, so it answers at once and needs none of the component's dependencies.
"""

import ast
import pathlib
import sys

TEXT = """{name}: {docstring}

Parameters (of components.{name}.core.{name}, all by keyword):
{parameters}

This image is run by Kubeflow Pipelines, Vertex AI or `python -m pipeline run --runner docker`,
which pass the task's command. By hand: python3 -c 'from components.{name} import core; core.{name}(...)'"""


def usage(name: str, source: str) -> str:
    """Returns the text for the component whose `core.py` is `source`."""
    function = next(
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name
    )
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    parameters = "\n".join(
        f"  {argument.arg}: {ast.unparse(argument.annotation) if argument.annotation else 'any'}"
        for argument in arguments
    )
    return TEXT.format(name=name, docstring=ast.get_docstring(function) or "", parameters=parameters)


if __name__ == "__main__":
    component = sys.argv[1]
    core_path = pathlib.Path(__file__).parent / "components" / component / "core.py"
    print(usage(component, core_path.read_text(encoding="utf-8")))

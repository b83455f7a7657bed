"""Problems of our own, a benchmark file of them, and the ways in which a solution is disguised."""

import json
import re
import textwrap

PROBLEMS = [
    {
        "task_id": "Own/0",
        "prompt": 'def merge_shelves(left, right):\n    """Zip two sorted shelves of books into a single sorted shelf, '
        'cheapest volume first, without calling sort."""\n',
        "canonical_solution": "    shelf = []\n    while left and right:\n"
        "        cheaper = left if left[0].price <= right[0].price else right\n"
        '        shelf.append(cheaper.pop(0))\n    label = "merged" if shelf else "nothing to merge"\n'
        "    return shelf + left + right, label\n",
        "test": "def check(candidate):\n    assert candidate([], []) == ([], 'nothing to merge')\n",
    },
    {
        "task_id": "Own/1",
        "prompt": 'def tallest_tower(blocks):\n    """Return the height of the tallest tower of blocks in which every '
        'block is narrower than the block below."""\n',
        "canonical_solution": "    ordered = sorted(blocks, key=lambda block: block.width)\n"
        "    best = {block: block.height for block in ordered}\n    for upper, block in enumerate(ordered):\n"
        "        for lower in ordered[:upper]:\n            if lower.width < block.width:\n"
        "                best[block] = max(best[block], best[lower] + block.height)\n"
        "    return max(best.values(), default=0)\n",
        "test": "def check(candidate):\n    assert candidate([]) == 0\n    assert candidate(None) is None\n",
    },
    {"task_id": "Own/2", "prompt": "Say hello.\n", "canonical_solution": "print('hello')\n", "test": ""},
]
FIELDS = ("prompt", "canonical_solution", "test")
SOLUTION = PROBLEMS[0]["canonical_solution"]
REFORMATTED = """\
  shelf = [ ]
  while (
      left
      and right
  ):
    cheaper = (
      left
      if left[ 0 ].price
         <= right[ 0 ].price
      else right
    )
    shelf.append(
      cheaper.pop(0),
    )
  label = (
    'merged'
    if shelf
    else 'nothing to merge'
  )
  return (shelf + left
          + right, label)
"""


def between(code, comment):
    """A comment of many words before every line."""
    lines = code.splitlines()
    return "\n".join(f"{re.match(' *', line)[0]}{comment}\n{line}" for line in lines) + "\n"


DISGUISES = {
    "as it is": SOLUTION,
    "indented": textwrap.indent(SOLUTION, "        "),
    "tabs": SOLUTION.replace("    ", "\t"),
    "line ends": SOLUTION.replace("\n", "\r\n"),
    "one line": " ".join(SOLUTION.split()),
    "reformatted": REFORMATTED,
    "commented out": textwrap.indent(SOLUTION, "# "),
    "comments before lines": between(SOLUTION, "# here we look at one more of the many shelves"),
    "comments after lines": SOLUTION.replace("\n", "  # and this line is explained at length\n"),
    "slashes between lines": between(SOLUTION, "// here we look at one more of the many shelves"),
    "blocks between lines": between(SOLUTION, "/* here we look at one more\n * of the many shelves */"),
    "docstrings between lines": between(SOLUTION, '"""Here we look at one more of the shelves."""'),
    "reformatted and commented": between(REFORMATTED, "# here we look at one more of the many shelves"),
    "in a docstring, commented": f'"""\nSo:\n{between(SOLUTION, "# one more of the many shelves of books")}\n"""\n',
    "in a patch": textwrap.indent(between(SOLUTION, "# here we look at one more of the shelves"), "+"),
    "within JSON": json.dumps({"answer": SOLUTION}),
    "within JSON, commented": json.dumps({"answer": between(SOLUTION, "# one more of the many shelves of books")}),
    "upper case": SOLUTION.upper(),
}


def write_benchmark(folder, problems=PROBLEMS, name="own.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(problem) + "\n" for problem in problems))
    return path

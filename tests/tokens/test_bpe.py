"""Tokenizers are trained on corpora: same corpora, same bytes; digits as chosen; any library reads them."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers

from codemill.corpus.read import Corpus
from codemill.errors import InputError, RecipeError
from codemill.tokens.bpe import pattern, train
from codemill.tokens.settings import BpeSettings
from codemill.tokens.tokenizer import open_tokenizer
from tests.conftest import c_module, python_module

SMALL = BpeSettings(vocab_size=400)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two files of several row groups; some texts are missing or empty."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(2):
        texts = [(python_module if row % 2 else c_module)(100 * number + row) for row in range(100)]
        languages = ["Python" if row % 2 else "C" for row in range(100)]
        texts[10], texts[11], languages[12] = None, "", None
        table = pa.table({"content": pa.array(texts, pa.large_string()), "language": languages})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=30)
    return folder


@pytest.mark.parametrize(("digits", "longest"), [("single", 1), ("triples", 3), ("runs", 9)])
def test_digits_are_split_as_chosen(corpus, tmp_path, digits, longest):
    result = train([corpus], tmp_path, BpeSettings(vocab_size=400, digits=digits))
    library = tokenizers.Tokenizer.from_file(str(result.path))
    cut = [piece for piece, _ in library.pre_tokenizer.pre_tokenize_str("a=123456789") if piece.isdigit()]
    assert max(map(len, cut)) == longest
    assert "".join(cut) == "123456789"
    assert open_tokenizer(result.path).fast


@pytest.mark.parametrize("name", ["code", "gpt2", r"\w+|\W", "{digits}|[^0-9]+"])
def test_patterns_are_names_or_expressions(corpus, tmp_path, name):
    settings = BpeSettings(vocab_size=400, pattern=name)
    assert "{digits}" not in pattern(settings)
    tokenizer = open_tokenizer(train([corpus], tmp_path / "own.json", settings).path)
    text = "def f(x):\n    return 'naïve' + str(123456) \U0001f600\r\n"
    assert tokenizer.decode(tokenizer.encode([text]).ids) == text


def test_the_same_corpora_give_the_same_bytes_in_any_process(corpus, tmp_path):
    one = train([corpus], tmp_path / "one", SMALL)
    code = (
        "import sys; from codemill.tokens.bpe import train; from codemill.tokens.settings import BpeSettings as B;"
        "train([sys.argv[1]], sys.argv[2], B(vocab_size=400))"
    )
    subprocess.run([sys.executable, "-c", code, corpus, tmp_path / "two"], check=True, env={"RAYON_NUM_THREADS": "1"})
    assert one.path.read_bytes() == (tmp_path / "two" / "tokenizer.json").read_bytes()
    assert one.vocab_size == 400
    assert not one.held_out
    assert one.documents == 196
    tokenizer = open_tokenizer(one.path)
    assert [tokenizer.special(mark) for mark in SMALL.special_tokens] == [0, 1, 2, 3, 4]


def test_samples_keep_to_their_budget_and_are_measured_on_others(corpus, tmp_path):
    whole = train([corpus], tmp_path / "whole", SMALL)
    part = train([corpus], tmp_path / "part", BpeSettings(vocab_size=400, sample_bytes=whole.bytes // 5))
    assert part.held_out
    assert 0.1 < part.bytes / whole.bytes < 0.25
    assert set(part.fertility) >= {"C", "Python"}
    assert sum(one.documents for one in part.fertility.values()) + part.documents <= whole.documents
    assert all(1 < one.bytes / one.tokens < 8 for one in part.fertility.values() if one.documents > 5)
    other = train([corpus], tmp_path / "other", BpeSettings(vocab_size=400, sample_bytes=whole.bytes // 5, seed=1))
    assert other.fingerprint != part.fingerprint


def test_mistakes_are_one_line(corpus, tmp_path):
    (tmp_path / "text.parquet").write_text("no table")
    pq.write_table(pa.table({"code": ["x"]}), tmp_path / "columns.parquet")
    pq.write_table(pa.table({"text": pa.array([None, ""], pa.string())}), tmp_path / "empty.parquet")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "numbers.parquet")
    for name, said in (
        ("nothing", "expected a file or folder, got none at"),
        ("text.parquet", "expected a readable file"),
        ("columns.parquet", "expected a column text or content in .*, got neither"),
        ("empty.parquet", "expected documents with text, got none"),
        ("numbers.parquet", "expected texts in .*, got int64"),
    ):
        with pytest.raises(InputError, match=said):
            train([tmp_path / name], tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()
    with pytest.raises(RecipeError, match="pattern: expected a name or a regular expression"):
        train([corpus], tmp_path / "out", BpeSettings(pattern="("))
    with pytest.raises(ValueError, match="vocab_size: expected room for 256 bytes and 5 special tokens, got 256"):
        BpeSettings(vocab_size=256)
    with pytest.raises(ValueError, match="special_tokens: expected different ones"):
        BpeSettings(special_tokens=("<a>", "<a>"))


def test_lines_and_columns_of_other_names(corpus, tmp_path):
    whole = train([corpus], tmp_path / "whole", SMALL)
    rows = [row for file in sorted(corpus.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    lines = [json.dumps({"body": row["content"], "lang": row["language"]}) for row in rows]
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "a.jsonl").write_text("\n".join(lines))
    columns = {"text": "body", "language": "lang"}
    other = train([Corpus("lines", str(tmp_path / "li*"), columns)], tmp_path / "other", SMALL)
    assert other.fingerprint == whole.fingerprint
    assert other.fertility == whole.fertility


def test_rows_that_are_no_documents_are_counted(tmp_path):
    good = [json.dumps({"content": f"def number_{at}(): return {at}"}) for at in range(20)]
    (tmp_path / "a.jsonl").write_text("\n".join([*good, '{"content": "cut o', "[]", '{"content": null}', ""]))
    made = train([tmp_path / "a.jsonl"], tmp_path / "out", SMALL)
    assert (made.documents, made.left_out) == (20, {"invalid_row": 2, "no_text": 1})
    told = command("train-tokenizer", tmp_path / "a.jsonl", "--out", tmp_path / "out", "--vocab-size", "300").stdout
    assert "2 rows left out: invalid_row" in told


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-c", "from codemill.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_the_command_prints_bytes_per_token(corpus, tmp_path):
    arguments = ["train-tokenizer", corpus, "--vocab-size", "400", "--out", tmp_path / "tokenizer.json"]
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{tmp_path / 'tokenizer.json'}: 400 tokens, fingerprint ")
    table = lines[[line.split()[0] for line in lines].index("language") + 1 :]
    assert {line.split()[0] for line in table} == {"C", "Python", "unknown"}
    assert all(1 < float(line.split()[-1]) < 8 for line in table)
    told = json.loads(command(*arguments, "--special", "<end>", "--json").stdout)
    assert told["vocab_size"] == 400
    assert open_tokenizer(tmp_path / "tokenizer.json").special("<end>") == 0
    wrong = command(*arguments, "--digits", "pairs")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("codemill: train-tokenizer.digits: ")
    assert len(wrong.stderr.splitlines()) == 1

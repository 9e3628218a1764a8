"""A small corpus with duplicates, in several kinds of files (conftest.py of data_pipelines), for the tests of Beam."""

import random

from small_corpus import corpus_documents

from data_pipelines.corpora.corpus import Corpus, Source
from data_pipelines.corpora.readers import ReadingOptions


def repeating_documents(count=60):
    """Return documents of which some are equal to earlier ones, and some have one word changed."""
    generator = random.Random(3)
    documents = []
    for number, document in enumerate(corpus_documents(count)):
        documents.append(document)
        if number % 5 == 1:
            documents.append(list(generator.choice(documents)))
        if number % 7 == 2:
            near = list(generator.choice(documents))
            documents.append([*near[:-1], near[-1].replace(" ", " rather ", 1)])
    return documents


def corpus_of(folder, deduplicate="none", **mixing):
    """Return the corpus of all files of the folder, or a mixture of two parts of it."""
    options = ReadingOptions(sentences="split", clean=True)
    if not mixing:
        return Corpus({"": Source(f"{folder}/*", options)}, deduplicate=deduplicate)
    sources = {"a": Source(f"{folder}/a.txt", options), "b": Source(f"{folder}/b.jsonl,{folder}/c.txt.gz", options)}
    return Corpus(sources, deduplicate=deduplicate, seed=4, **mixing)

import pytest

from data_pipelines.corpora.docstring_prose import paragraphs


def prose(docstring):
    return [" ".join(paragraph) for paragraph in paragraphs(docstring)]


def test_prose_of_google_layout():
    assert prose("""Reads the whole file at once.

    Longer text, which explains
    how it is read. And more of it.

    Args:
      path (str): The file that is read,
        local or remote.
      mode: One of the known modes.
      *args: int

    Returns:
      A list of lines. Empty if there are none.

    Raises:
      ValueError: If the file is empty.

    Example:

    >>> read("x")
    ['this is the output of the example']

    ```python
    this is code that nobody should learn to read.
    ```
    """) == [
        "Reads the whole file at once.",
        "Longer text, which explains how it is read. And more of it.",
        "The file that is read, local or remote.",
        "One of the known modes.",
        "A list of lines. Empty if there are none.",
        "If the file is empty.",
    ]


def test_prose_of_numpy_layout():
    assert prose("""
    Compute the mean of an array.

    Parameters
    ----------
    a, b : array_like, optional
        The array whose mean is wanted.
    axis : int
        Axis along which it is computed.

    Returns
    -------
    ndarray
        The mean of the array.

    See Also
    --------
    median : Another function that is close to this one.

    Notes
    -----
    The mean is the sum divided by the count [1]_.

    References
    ----------
    .. [1] Some author, "Some title of some paper", Some journal.
    """) == [
        "Compute the mean of an array.",
        "The array whose mean is wanted.",
        "Axis along which it is computed.",
        "The mean of the array.",
        "The mean is the sum divided by the count.",
    ]


def test_prose_of_restructured_text():
    assert prose("""
    Title of the page
    =================

    The :class:`~package.module.Name` and :func:`others <target>` use ``code`` and *stress*,
    :meth:`run` among them.

    .. note:: This is worth knowing about it.

    .. code-block:: python

        this is code that nobody should learn to read.

        nor should this be learned by anyone.

    It works like this::

        this is code that nobody should learn to read.

    :param name: the name of the thing.
    :type name: str or a list of things
    :returns: whether there is such a thing.

    +------+------+
    | this | is a table of some words |
    """) == [
        "The Name and others use code and stress, run among them.",
        "This is worth knowing about it.",
        "It works like this:",
        "the name of the thing.",
        "whether there is such a thing.",
    ]


def test_prose_of_markdown():
    assert prose("""
    # A heading of several words here.

    See the [guide for users](https://example.com/guide) for more of it.
    Details are at https://example.com/details for all readers.

    - The first of the **two** items.
    - The second item,
      which is longer.
    """) == [
        "See the guide for users for more of it.",
        "The first of the two items.",
        "The second item, which is longer.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "x = foo(bar)[3] * {'a': 1} + y_2",
        "int, optional",
        "a_b c_d e_f g_h i_j k_l.",
        "0.1 0.2 0.3 0.4 0.5 0.6",
        "See https://example.com for all of the details.",
        "三个中文句子在这里。",
    ],
)
def test_text_without_english_sentences_is_dropped(text):
    assert prose(text) == []


@pytest.mark.parametrize("text", ["", "\n\n", "```", "::", "..", ":", "=====", "\t", "`", ">>>", "- ", "x\n  y\n z"])
def test_odd_docstrings_have_no_prose(text):
    assert prose(text) == []

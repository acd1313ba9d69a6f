"""Texts that databases do not take: callers get them back exactly or an honest error, and no row that cannot
be read comes of them. A result that the database refuses stops nobody.
"""

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.faults, pytest.mark.both_databases]

TABLE = "django_ztask_task"

TEXTS = r"""
from tests.project.shop.litter import keywords
TEXTS = [
    "", "a\0b", "\ud800", "\udcff\0\ud800\udc00", os.fsdecode(b"caf\xe9"), "\U0001f600", "'; DROP TABLE x; --",
    "%s %(a)s {0}", "\\u0000", "\x1a\x7f\x85\u2028\ufeff\uffff", "x" * 300_000,
]
"""


def test_any_text_comes_back_as_it_was_given(site):
    daemon = site.start()
    wrong = site.call(
        TEXTS
        + """
values = [*TEXTS, *({text: [text]} for text in TEXTS), *((text, text) for text in TEXTS), b"\\xff\\0"]
handles = echo.map([(value,) for value in values])
wrong = [ascii(value)[:80] for value, handle in zip(values, handles) if handle.result(20) != value]
handles = [(text, keywords.async_(**{text: 1})) for text in TEXTS]
wrong += [ascii(text)[:80] for text, handle in handles if handle.result(20) != {text: 1}]
show(wrong)
"""
    )
    assert wrong == []
    assert site.count(status="SUCCEEDED", attempts=1) == site.count()
    assert "refused" not in daemon.log
    assert daemon.stop() == 0


def test_any_text_can_be_what_a_task_fails_with(site):
    daemon = site.start()
    failed = site.call(
        TEXTS
        + """
from django_ztask.errors import TaskFailed
failed = 0
handles = [touchy.using(retry_count=0).async_(text) for text in TEXTS]
for handle in handles:
    try:
        handle.result(20)
    except TaskFailed as error:
        failed += "ValueError" in str(error)
show(failed == len(TEXTS))
"""
    )
    assert failed
    assert max(map(len, site.sql(f"SELECT last_exception FROM {TABLE}"))) <= 2000
    assert max(map(len, site.sql(f"SELECT traceback FROM {TABLE}"))) < 65_000
    assert "refused" not in daemon.log
    assert daemon.stop() == 0


def test_without_pickle_a_lone_surrogate_is_refused_by_name_and_nothing_is_recorded(new_site):
    site = new_site(ZTASKD_PICKLE=False)
    said = site.call(r"""
        from tests.project.shop.litter import keywords
        from django_ztask.errors import ArgumentError
        said = []
        for call in (lambda: echo.async_("\ud800"), lambda: echo.async_({"\udcff": 1}),
                     lambda: echo.map(["fine", "\ud800"]), lambda: keywords.async_(word="\ud800")):
            try:
                call()
            except ArgumentError as error:
                said.append(str(error))
        echo.async_("a\0b")
        show(said)
    """)
    assert [text.split(" (")[0] for text in said] == ["argument 1"] * 3 + ["argument 'word'"]
    assert all("ZTASKD_PICKLE is False" in text for text in said)
    assert site.sql(f"SELECT args FROM {TABLE}") == ['["a\\u0000b"]']


def test_one_result_that_the_database_refuses_does_not_stop_the_other_fifty(site, vendor):
    if vendor == "postgresql":
        site.sql(f"ALTER TABLE {TABLE} ADD CHECK (result <> '\"poison\"')")
    else:
        site.sql(
            f"CREATE TRIGGER poison BEFORE UPDATE ON {TABLE} WHEN NEW.result = '\"poison\"' "
            "BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed'); END"
        )
    daemon = site.start()
    site.call("""
        from django_ztask.errors import ResultUnavailable
        words = [f"m{n}" for n in range(50)]
        words.insert(25, "poison")
        for word, handle in zip(words, mark.map(words)):
            try:
                assert handle.result(20) == word
            except ResultUnavailable as error:
                assert word == "poison", word
                assert "its outcome could not be written" in str(error)
    """)
    site.wait_count(51, status="SUCCEEDED", attempts=1)
    assert len(site.marks()) == len(set(site.marks())) == 51
    assert daemon.log.count("the journal refused a row") == 1
    assert site.call("show(add.async_(3, 4).result(20))") == 7
    assert "degraded" not in daemon.log
    assert daemon.stop() == 0

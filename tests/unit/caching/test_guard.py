"""What keeps a near question from being taken for the same one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway.caching.semantic.english import stem
from ai_gateway.caching.semantic.guard import judge

VETOED: list[tuple[str, str, str]] = [
    ("numbers", "What is new in Python 3.11?", "What is new in Python 3.12?"),
    ("numbers", "How far is it from 10 km to 20 km?", "How far is it from 10 km to 30 km?"),
    ("numbers", "Events on 2024-05-01", "Events on 2024-06-01"),
    ("numbers", "Is the BMW 520d good?", "Is the BMW 530d good?"),
    ("names", "What is the capital of France?", "What is the capital of Spain?"),
    ("names", "Who founded Amazon in Seattle?", "Who founded Microsoft in Seattle?"),
    ("names", "Difference between PL/SQL and SQL and MySQL?", "Difference between PL/SQL and MySQL?"),
    ("names", "How do I use GDPR consent?", "How do I use HIPAA consent?"),
    ("negation", "Which fruits are safe for dogs?", "Which fruits are not safe for dogs?"),
    ("negation", "Can I take ibuprofen with alcohol?", "Can't I take ibuprofen with alcohol?"),
    ("negation", "How to cook rice with salt?", "How to cook rice without salt?"),
    ("question", "How is cement made?", "Why is cement made?"),
    ("question", "Where are the service centers?", "Who are the service centers?"),
    ("person", "What is the best orange juice?", "What is your best orange juice?"),
    ("letters", "What is vitamin b good for?", "What is vitamin c good for?"),
    ("order", "The best thing after the worst day of life", "The worst thing after the best day of life"),
    ("order", "Convert a file from markdown to html", "Convert a file from html to markdown"),
    ("order", "How do I convert JSON to YAML?", "How do I convert YAML to JSON?"),
    ("order", "Does stress cause insomnia?", "Does insomnia cause stress?"),
    ("order", "Is a car faster than a train?", "Is a train faster than a car?"),
    ("order", "Which company acquired the startup?", "Which startup acquired the company?"),
    ("order", "How does the buyer pay the seller?", "How does the seller pay the buyer?"),
    ("order", "How do I merge the develop branch into the release branch?", "How do I merge the release branch into the develop branch?"),
    ("order", "What happens if my card is declined after payment?", "What happens if payment is declined after my card?"),
    ("question", "Why is America supporting the rebels?", "Is America supporting the rebels?"),
    ("question", "Are there any service centers in India?", "Where are the service centers in India?"),
    ("question", "Should I use hair wax daily?", "How do I use hair wax daily?"),
    ("numbers", "How do I lose weight in three months?", "How do I lose weight in two months?"),
    ("person", "Can you have coffee during a fast?", "Can I have coffee during a fast?"),
    ("person", "Should he pay her child support?", "Should she pay him child support?"),
    ("person", "What medicine can I give him for a fever?", "What medicine can I give her for a fever?"),
    ("person", "Can my landlord sue me for damage?", "Can I sue my landlord for damage?"),
    ("time", "What was the inflation rate in France?", "What is the inflation rate in France?"),
    ("time", "When did Apple release the new phone?", "When will Apple release the new phone?"),
    ("direction", "How do I copy files to the S3 bucket?", "How do I copy files from the S3 bucket?"),
    ("direction", "Cheapest flights to Paris in May", "Cheapest flights from Paris in May"),
    ("direction", "How do I import data into tables?", "How do I import data from tables?"),
    ("opposites", "What is a client certificate for?", "What is a server certificate for?"),
    ("opposites", "How do I increase the heap size?", "How do I decrease the heap size?"),
    ("opposites", "What do female students buy?", "What do male students buy?"),
    ("added", "How do I reset the password?", "How do I reset the admin password?"),
    ("added", "Where can I play badminton?", "Where can I play badminton tournaments?"),
    ("code", "What does `x = 1` do here?", "What does `x = 2` do here?"),
    ("code", "Explain the page https://a.example/x please", "Explain the page https://a.example/y please"),
    ("code", "Is a < b in sorted order?", "Is a > b in sorted order?"),
    ("code", "What is in /etc/passwd?", "What is in /etc/shadow?"),
    ("quotes", 'Translate "good morning" for a friend', 'Translate "good evening" for a friend'),
    ("quotes", "What does “无语” mean?", "What does “装逼” mean?"),
    ("script", "What does 无语 mean in slang?", "What does 装逼 mean in slang?"),
    ("script", "Что такое кошка?", "Что такое собака?"),
]  # fmt: skip

ALIKE: list[tuple[str, str, str]] = [
    ("same", "How do I reset my Gmail password?", "How can I reset a Gmail password?"),
    ("same", "What are the best books on machine learning?", "Which are the best books about machine learning?"),
    ("same", "What is the difference between Sunni and Shia?", "What's the difference between Shia and Sunni?"),
    ("same", "Treatment for water in the lungs?", "What is the treatment for water in the lungs?"),
    ("short", "How do I regulate emotions?", "How to regulate my emotions?"),
    ("same", "How do I change my profile pic?", "How do I change my profile picture?"),
    ("same", "What is the best way to reduce pore size?", "How do I reduce pore size?"),
    ("same", "Is there a way to delete old branches?", "Are there any ways to erase old branches?"),
    ("same", "How can you split a string in Python?", "How do I split a string in Python?"),
    ("same", "What are the best one minute 2 person games?", "What are the best one minute two person games?"),
    ("same", "Who invented the word 'serendipity' and when?", "Who invented the word serendipity, and when?"),
    ("same", "Can you explain the Fibonacci number sequence?", "What is the Fibonacci number sequence?"),
    ("same", "How do I restart the print server?", "Hi, please tell me how to restart the print server. Thanks!"),
    ("same", "Is the print server slow today?", "I was just wondering, is the print server slow today?"),
    ("same", "How do I recover pictures that were deleted?", "How can I recover deleted pictures?"),
    ("same", "How do I move data from CSV to a table?", "How can I move data to a table from CSV?"),
    ("same", "Compare SQL and NoSQL databases", "Compare NoSQL and SQL databases"),
    ("swapped", "How do I change my profile banner?", "How do I change my profile picture?"),
    ("reworded", "Why is dividing by zero an error?", "Why is division by zero undefined?"),
]  # fmt: skip


@pytest.mark.parametrize(("veto", "one", "other"), VETOED)
def test_what_makes_it_another_question_is_seen_however_close_they_lie(
    veto: str, one: str, other: str
) -> None:
    assert judge(one, other).veto == veto
    assert judge(other, one).veto == veto


@pytest.mark.parametrize(("grade", "one", "other"), ALIKE)
def test_wordings_are_graded(grade: str, one: str, other: str) -> None:
    found = judge(one, other)
    assert (found.veto, found.grade) == (None, grade)
    assert judge(other, one) == found


@given(st.text(max_size=200))
def test_a_text_is_never_vetoed_against_itself(text: str) -> None:
    assert judge(text, text).veto is None


@given(st.text(max_size=100), st.text(max_size=100))
def test_the_guard_is_symmetric(one: str, other: str) -> None:
    assert judge(one, other) == judge(other, one)


@pytest.mark.parametrize(
    ("word", "expected"),
    [("working", "work"), ("works", "work"), ("worked", "work"), ("running", "run"), ("cities", "city"),
     ("boxes", "box"), ("is", "is"), ("bus", "bus"), ("class", "class"), ("bring", "bring"),
     ("anonymously", "anonymously"), ("кошка", "кошка")],
)  # fmt: skip
def test_inflections_go_and_derivations_stay(word: str, expected: str) -> None:
    assert stem(word) == expected

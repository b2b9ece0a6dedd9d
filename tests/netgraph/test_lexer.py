"""Tests for the tokens of control-message arguments."""

import errno
import pickle
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ngksock.netgraph.lexer import MAX_DEPTH, MAX_OUTPUT, Lexer, ParseError, excerpt, quote

LATIN1 = st.text(st.characters(max_codepoint=0xFF), max_size=40)


def tokens(text: str) -> list[str]:
    """Split *text* into its tokens, strings decoded behind a quote."""
    lexer = Lexer(text)
    found = []
    while kind := lexer.peek():
        if kind in ("{", "["):
            lexer.open(kind, "a bracket")
        elif kind in ("}", "]"):
            lexer.at_close()
            lexer.close()
        elif kind == "=":
            lexer.equals("x")
        elif kind == '"':
            kind += lexer.string("a string")
        else:
            kind = lexer.word("a word")
        found.append(kind)
    return found


class TokenTests(SynchronousTestCase):
    def test_words_and_brackets(self):
        """Brackets, = and blanks end a word; blanks between tokens do not matter."""
        expected = ["{", "a", "=", "3", "b", "=", "[", "0x1", "2", "=", "-1", "]", "}"]
        self.assertEqual(expected, tokens("{a=3 b=[0x1 2=-1]}"))
        self.assertEqual(expected, tokens(" {\ta\n=\r3\vb = [ 0x1\f2 = -1 ] } "))

    def test_words_keep_odd_characters(self):
        """Whatever is no blank, bracket, quote or = is part of a word, also a no-break space."""
        self.assertEqual(
            ["inet/1.2.3.4:5,x;#\xa0\x85\x1c"], tokens("inet/1.2.3.4:5,x;#\xa0\x85\x1c")
        )

    def test_commas(self):
        """A comma is a blank in braces, and in brackets unless it joins two word characters."""
        for text, expected in [
            ("{a=10,b=10}", ["{", "a", "=", "10", "b", "=", "10", "}"]),
            ("{ a=10, b=10, }", ["{", "a", "=", "10", "b", "=", "10", "}"]),
            ("[ 1, 2 ]", ["[", "1", "2", "]"]),
            ("[1 ,2,]", ["[", "1", "2", "]"]),
            ('["a","b"]', ["[", '"a', '"b', "]"]),
            ("[{},{}]", ["[", "{", "}", "{", "}", "]"]),
            ("[1,2,3]", ["[", "1,2,3", "]"]),
            ("[{a=1,b=2},1,2]", ["[", "{", *"a=1b=2", "}", "1,2", "]"]),
            ("{a=[1,2],b=3}", ["{", "a", "=", "[", "1,2", "]", "b", "=", "3", "}"]),
            ("a,b", ["a,b"]),
            (",a,", [",a,"]),
            ("[] ,", ["[", "]", ","]),
        ]:
            self.assertEqual(expected, tokens(text), text)

    def test_beyond_latin1(self):
        """A character that is not one byte is EINVAL at its place."""
        error = self.assertRaises(ParseError, Lexer, 'ab "\u20ac"')
        self.assertEqual((errno.EINVAL, 4), (error.errno, error.offset))
        self.assertIn("U+20AC", str(error))

    def test_pattern(self):
        """A type may match a pattern of its own; blanks before it are skipped."""
        lexer = Lexer("  inet/x")
        match = lexer.match(re.compile("[a-z]+/"))
        self.assertEqual(("inet/", 7), (match and match.group(), lexer.pos))
        self.assertIsNone(lexer.match(re.compile("y")))
        self.assertEqual(7, lexer.pos)


class StringTests(SynchronousTestCase):
    def test_escapes(self):
        """Each escape of section 6.7 stands for its one character, with bounded digits."""
        for text, expected in [
            (r'"\t\n\r\v\f"', "\t\n\r\v\f"),
            (r'"\"\\"', '"\\'),
            (r'"\x4"', "\x04"),
            (r'"\x414"', "A4"),
            (r'"\1014"', "A4"),
            (r'"\7x\08"', "\7x\x008"),
            (r'"\777"', "\xff"),
            (r'"\xg\q\ "', "xgq "),
            ('"a\nb{}[]=,"', "a\nb{}[]=,"),
            ('""', ""),
        ]:
            self.assertEqual(['"' + expected], tokens(text), text)

    def test_followed_by_more(self):
        """An escape does not disturb what follows the string."""
        self.assertEqual(
            ["{", "a", "=", '"\\', "b", "=", '"\x01q', "}"], tokens(r'{a="\\"b="\x01\q"}')
        )

    def test_no_closing_quote(self):
        """A string without end is EINVAL at its opening quote, however long."""
        for text in ['  "abc', '  "abc\\"', '  "abc\\', '  "' + "a\\b" * 20000]:
            error = self.assertRaises(ParseError, Lexer(text).string, "a string")
            self.assertEqual((errno.EINVAL, 2), (error.errno, error.offset))

    def test_quote(self):
        """Printing escapes quotes, backslashes, and what is not printable ASCII."""
        self.assertEqual(
            r'"a b~\t\n\r\v\f\"\\\x00\x1b\x7f\x80\xff"',
            quote('a b~\t\n\r\v\f"\\\0\x1b\x7f\x80\xff'),
        )

    @given(LATIN1, LATIN1)
    @settings(deadline=None, max_examples=60)
    def test_round_trip(self, first, second):
        """Any two strings survive being quoted and read, side by side."""
        self.assertEqual(['"' + first, '"' + second], tokens(quote(first) + quote(second)))


class SkipTests(SynchronousTestCase):
    def test_balanced(self):
        """skip takes one word, one string, or all between a pair of brackets."""
        for text in ["ab", '"a ]"', "{}", '{ a=[ "}" 1={ b=2 } ] }', "[ = ]"]:
            lexer = Lexer(text + " rest")
            lexer.skip()
            self.assertEqual(len(text), lexer.pos, text)

    def test_unbalanced(self):
        """Errors are at the bracket that is never closed, or that closes the wrong one."""
        for text, offset, words in [
            (" [ 1", 1, "never closed"),
            ("{ a=[ 1 }", 8, "cannot close"),
            ("{ [ ] ", 0, "never closed"),
            ("]", 0, "expected a value"),
            ("=", 0, "expected a value"),
            ("  ", 2, "end of the text"),
            ('{ a="x }', 4, "closing quote"),
        ]:
            error = self.assertRaises(ParseError, Lexer(text).skip)
            self.assertEqual((errno.EINVAL, offset), (error.errno, error.offset), text)
            self.assertIn(words, str(error))

    def test_depth(self):
        """Brackets nest MAX_DEPTH deep; the next one is EINVAL at its place."""
        Lexer("[" * MAX_DEPTH + "]" * MAX_DEPTH).skip()
        error = self.assertRaises(ParseError, Lexer("[" * 100000).skip)
        self.assertEqual((errno.EINVAL, MAX_DEPTH), (error.errno, error.offset))


class BoundTests(SynchronousTestCase):
    def test_spend(self):
        """What the text leaves out adds up to MAX_OUTPUT; more is ERANGE."""
        lexer = Lexer("x")
        lexer.spend(MAX_OUTPUT - 1, 0)
        lexer.spend(1, 0)
        error = self.assertRaises(ParseError, lexer.spend, 1, 7)
        self.assertEqual((errno.ERANGE, 7), (error.errno, error.offset))

    def test_excerpt(self):
        """Messages show words shortened and without control characters."""
        self.assertEqual("a" * 37 + "...", excerpt("a" * 1000))
        self.assertEqual(r"a\x1b[\b", excerpt("a\x1b[\\b"))

    def test_unexpected(self):
        """The message names what is wanted and what is there instead."""
        for text, words in [("]", 'not "]"'), ('"a', "not a quoted string"), ("ab c", "not ab")]:
            error = Lexer(text).unexpected("a thing")
            self.assertEqual("expected a thing, " + words, error.strerror)


class ParseErrorTests(SynchronousTestCase):
    def test_is_oserror(self):
        """It is an OSError with errno, strerror and offset, for any errno."""
        for number in (errno.EINVAL, errno.ENOENT, errno.EALREADY):
            error = ParseError(number, "why", 3)
            self.assertIsInstance(error, OSError)
            self.assertEqual((number, "why", 3), (error.errno, error.strerror, error.offset))

    def test_pickle(self):
        """It survives pickling, as an error that crosses processes must."""
        error = pickle.loads(pickle.dumps(ParseError(errno.EINVAL, "why", 3)))
        self.assertEqual((errno.EINVAL, "why", 3), (error.errno, error.strerror, error.offset))

"""Templates rendered by transformers' Jinja2 environment, for the tests of src/tokenizer/jinja/.

usage: python test/golden/make_jinja_golden.py
writes test/golden/jinja.json: [template, text] or [template, null] where rendering fails. Templates see VARIABLES.
"""
import json
import pathlib

from transformers.utils.chat_template_utils import _compile_jinja_template

HERE = pathlib.Path(__file__).parent

VARIABLES = {
    "text": "  \n  indented line\n\n",
    "name": "Ada",
    "words": ["b", "A", "c", "a"],
    "numbers": [3, 1, 2, 10],
    "mixed": [1, 2.5, "x", None, True, [1, "a"], {"k": "v"}],
    # JavaScript's objects have keys that are whole numbers first.
    "person": {"10": "ten", "name": "Bo", "items": [1, 2], "age": 42, "get": "got", "nested": {"deep": [5]}},
    "rows": [{"k": "b", "n": 1}, {"k": "A", "n": 3}, {"n": 2}, {"k": "b", "n": 4, "ok": True}],
    "emoji": "a😀b",
    "nothing": None,
    "yes": True,
    "zero": 0,
    "half": 0.5,
    "big": 9007199254740991,
    "given": "from outside",
    "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}],
}

EXPRESSIONS = r"""
text.strip('\n')
text.lstrip('\n')
text.rstrip('\n ')
'xxaxx'.strip('x') ~ '|' ~ 'abc'.strip('ca')
'\ufeffa\ufeff'.strip() | length
'\u0085 a \x1c'.strip()
'  a b  c '.split()
'  a b  c '.split(' ')
'a,b,c'.split(',', 1)
'a,b,c'.rsplit(',', 1)
' a  b '.rsplit(none, 1)
'aaa'.split('aa') ~ 'aaa'.rsplit('aa')
'a\nb\r\nc\x0bd'.splitlines()
'a\nb\n'.splitlines(true)
'a-b-c'.partition('-')
'a-b-c'.rpartition('-')
'abcabc'.find('c') ~ 'abcabc'.rfind('c') ~ 'abc'.find('z')
'a😀b'.find('b')
'abcabc'.count('b')
'abc'.index('z')
'abc'.startswith(('x', 'ab')) ~ 'abc'.endswith('bc', 1) ~ 'abc'.startswith('b', 1)
'hello world'.title() ~ "they're bill's".title() ~ 'HELLO'.capitalize()
'hello world-it {x}' | title
'abc'.replace('b', 'X') ~ 'aaa'.replace('a', 'b', 2) ~ 'ab'.replace('', '-')
'7'.zfill(3) ~ '-7'.zfill(4) ~ 'ab'.center(5, '*') ~ 'ab'.ljust(4) ~ '|' ~ 'ab'.rjust(4)
'abc'.isalpha() ~ '12'.isdigit() ~ 'a1'.isalnum() ~ ' '.isspace() ~ 'ab'.islower() ~ 'AB'.isupper() ~ ''.isalpha()
'prefix-x'.removeprefix('prefix-') ~ 'x.txt'.removesuffix('.txt')
', '.join(words) ~ ''.join([])
', '.join(numbers)
'{} and {}'.format(1, 'two') ~ '{0}{1}{0}'.format('a', 'b') ~ '{x}'.format(x=1.0) ~ '{{}}'.format()
'{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:,}'.format('a', 'b', 'c', 42, 2.345, 1234567)
'{0[name]} {0[nested]}'.format(person)
'%s %d %.2f %5s|%-5s|%05d %% %r' % ('a', 42, 2.675, 'b', 'c', 7, 'q')
'%s' % words
'%(name)s' % person
'%s %s' % 'a'
'%s, %s!' | format('Hi', name)
'%d' | format(3.9)
true
false
none
[true, none, 'a', 1.0]
['a\'b', "c\"d", 'e\\f', '\n\t\x00\x7f\xad\u200b é 😀']
('a',) ~ () ~ (1, 2)
{'a': 1, 'b': [none, true], 3: 'c'}
{1: 'a', true: 'b', 1.0: 'c'}
mixed
person
1e3
1.5e-7
1e16
123456789012345678
0.1 + 0.2
1_000 + 0x1f + 0b11 + 0o7
100000.0
1e15 ~ ' ' ~ 1e-4 ~ ' ' ~ 1e-5 ~ ' ' ~ 1.0e22
-7 % 3
7 % -3
-7 // 2
7 // -2
-7.5 % 2
7 / 2
6 / 2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
2 ** 0.5
10 ** 20
1 / 0
1 % 0
True + True
'-' * 3
3 * '-'
[1] * 2
'a' * -1
'a' + 'b'
'a' + 1
'a' + none
[1] + [2]
[1] + (2,)
'a' + {'b': 1}
'a' ~ 1 ~ none ~ true ~ 1.0 ~ [1]
1 + 2 ~ 3 + 4
1 ~ 2 * 3
1 < 2 < 3
3 > 2 > 2
1 == 1.0 == true
'a' < 'b'
'a' < 1
none == none
none < 1
[1, 2] < [1, 3]
'Z' < 'a'
'￿' < '😀'
1 in [1.0] and 'a' in 'abc' and 'k' in {'k': 1} and 2 not in [1]
1 in 'abc'
none in [none]
'a' in undefinedname
undefinedname in [1]
1 and 0 or 'x'
not [] and not '' and not 0 and not none and not {} and not 0.0
'a' if true
'a' if false
'a' if false else 'b' if true else 'c'
undefinedname
undefinedname.attribute
undefinedname['item']
undefinedname + 1
undefinedname()
undefinedname | length
undefinedname | upper ~ undefinedname | join(',') ~ undefinedname | list
undefinedname == other_undefined
undefinedname is defined or undefinedname is undefined
undefinedname | default('d') ~ '' | default('e') ~ '' | default('f', true) ~ none | default('g', boolean=true)
person.items
person['items']
person.items()
person.get
person['get']
person.get('name') ~ person.get('none') ~ person.get('none', 'd')
person.keys() | list
person.values() | list | length
person.keys()
person.nested.deep[0] ~ person['nested']['deep'][-1]
person.missing is defined
person.missing.deeper
person.10 ~ person['10']
person | length
person | items | list
person.items() | list
nothing.x is defined
nothing['x'] is defined
nothing[0]
zero.real
name.upper ~ 1
name[0] ~ name[-1] ~ name[1:] ~ name[::-1] ~ name[:-1] ~ name[::2]
emoji[1] ~ emoji | length ~ emoji[::-1] ~ emoji[1:2]
words[10] is defined
words['x'] is defined
words[1:3] ~ words[-2:] ~ words[::-1] ~ words[5:]
words['a':]
nothing[1:]
person[1:]
words.append('x')
person.update({'a': 1})
words.index('c') ~ words.count('a')
words.pop
messages.__class__
''.__class__.__mro__
words | sort ~ words | sort(case_sensitive=true) ~ words | sort(reverse=true)
numbers | sort ~ numbers | min ~ numbers | max ~ numbers | sum ~ numbers | first ~ numbers | last
mixed | sort
[] | first is defined
[] | min is defined
[] | sum
rows | map(attribute='n') | list
rows | map(attribute='k', default='?') | join(',')
rows | map(attribute='k') | list
words | map('upper') | join
words | map('replace', 'a', 'z') | list
words | map
rows | selectattr('k', 'defined') | map(attribute='n') | list
rows | selectattr('k', 'undefined') | map(attribute='n') | list
rows | selectattr('ok') | list | length
rows | rejectattr('ok') | list | length
rows | selectattr('n', '>', 1) | map(attribute='n') | list
rows | selectattr('k', 'equalto', 'b') | list | length
rows | selectattr('n', 'in', [1, 2]) | list | length
numbers | select('odd') | list ~ numbers | reject('odd') | list
[0, 1, '', 'a', none] | select | list
numbers | select('divisibleby', 2) | list
numbers | select('nope') | list
rows | sort(attribute='n') | map(attribute='n') | list
rows[:2] | sort(attribute='k,n') | map(attribute='n') | list
rows | groupby('k', default='z') | map(attribute='grouper') | list
rows[:2] | groupby('k')
rows | sum(attribute='n') ~ numbers | sum(start=10)
['a', 'b'] | sum
words | unique | list ~ words | unique(case_sensitive=true) | list
numbers | batch(3) | list ~ numbers | batch(3, 0) | list
numbers | slice(3) | list
numbers | reverse | list ~ 'abc' | reverse
numbers | reverse
numbers | join('-') ~ rows | join(',', attribute='n')
'abc' | list ~ 'abc' | first ~ 'abc' | last
person | dictsort | map('first') | list
{'b': 1, 'A': 2} | dictsort ~ {'b': 1, 'A': 2} | dictsort(true) ~ {'b': 1, 'A': 2} | dictsort(by='value', reverse=true)
2.5 | round ~ ' ' ~ 3.5 | round ~ ' ' ~ 2.675 | round(2) ~ ' ' ~ 42 | round ~ ' ' ~ 1234 | round(-2) ~ ' ' ~ 1250 | round(-2)
2.1 | round(0, 'ceil') ~ ' ' ~ 2.19 | round(1, 'floor') ~ ' ' ~ 7 | round(0, 'floor')
'3.9' | int ~ ' ' ~ '0x1f' | int(0, 16) ~ ' ' ~ 'x' | int(7) ~ ' ' ~ 3.9 | int ~ ' ' ~ -3.9 | int ~ ' ' ~ none | int ~ ' ' ~ ' 12 ' | int ~ ' ' ~ '1_000' | int
'1.5' | float ~ ' ' ~ 'x' | float ~ ' ' ~ 1 | float ~ ' ' ~ 'inf' | float
-5 | abs ~ -2.5 | abs
'a\nb\n\nc' | indent
'a\nb' | indent(2, true) ~ '|' ~ 'a\n\nb' | indent('> ', blank=true)
none | indent
'hello world foo bar' | truncate(9) ~ '|' ~ 'hello world foo bar' | truncate(9, true) ~ '|' ~ 'short' | truncate(3)
'a b c' | wordcount
'a b/c?d=é' | urlencode ~ ' ' ~ {'a b': '1&2'} | urlencode
'<a href="x">\'&' | escape
'<' | safe ~ '<'
('<' | safe) + '<'
'abc' | center(7) ~ '|'
12345678 | filesizeformat ~ 1 | filesizeformat ~ 500 | filesizeformat(true)
1 is integer ~ 1.0 is float ~ 1 is number ~ true is integer ~ true is number ~ 'a' is string ~ [] is sequence ~ {} is sequence ~ {} is mapping ~ 1 is iterable ~ 'a' is iterable
none is none ~ true is true ~ 1 is true ~ false is false ~ true is boolean
2 is even ~ 3 is odd ~ 4 is divisibleby 2 ~ 4 is divisibleby(3)
1 is eq 1 ~ 1 is ne 2 ~ 1 is lt 2 ~ 2 is ge 2 ~ 1 is in [1] ~ 'x' is sameas none
'abc' is lower ~ 'ABC' is upper ~ 'a' is not string
range(3) ~ range(1, 4) | list ~ range(5, 0, -2) | list ~ range(3) | length ~ 2 in range(3)
range(200000)
namespace(a=1).a ~ namespace({'b': 2}).b
dict(a=1, b=2) ~ dict([('x', 1)])
person | tojson
mixed | tojson
'<é😀"\\/\n\x01\x7f' | tojson
'é😀' | tojson(ensure_ascii=true)
{'b': 1, 'a': [1, {'c': none}], 'e': [], 'f': {}} | tojson(indent=2)
{'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':'))
{1: 'a', none: 'b', true: 'c'} | tojson
1.0 | tojson ~ 1e16 | tojson ~ 1e-7 | tojson
undefinedname | tojson
range(3) | tojson
words | nope
words is nope
raise_exception('stop')
lipsum is defined
cycler('a', 'b').next()
(words | map('upper')) ~ ''
'a' 'b' "c"
'\x41\u0042\103\q'
given | string | upper | lower
1 if 2 is defined and 3 else 4
-1 | abs
(-1) | abs
not 1 is none
[1, 2, 3] | length == 3
'%.0f' % 0.5 ~ '%.0f' % 1.5 ~ '%.1f' % 0.25
(1, 2)[0] ~ [1, [2, 3]][1][0]
{'a': {'b': 1}}.a.b
{'a': 1}['a'] ~ {'a': 1}.get('b', 2)
big + 2
half ~ -half ~ zero - half
'a' ~ ('b' ~ 'c') | upper
'Ünïcödé ẞ ß İ'.upper() ~ 'ΣΑΣ'.lower()
""".strip("\n").split("\n")

STATEMENTS = [
    "a\r\nb\rc\r\n",
    "x\n",
    "x\n\n",
    "  {% if true %}  \n  y\n  {% endif %}\nz",
    "  {%+ if true %}\n y {% endif %}",
    "a {%- if true -%} b {%- endif -%} c",
    "a  {{- ' b ' -}}  c",
    "{# comment #}\nafter {#- c -#} x {# d #}",
    "{% raw %}{{ not }}{% endraw %}\nx{%- raw -%}  y  {%- endraw -%}  z",
    "{% for x in words %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ x }} {% endfor %}",
    "{% for x in words %}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.length }}{{ loop.cycle('a', 'b') }}{{ loop.changed(1) }} {% endfor %}",
    "{% for x in numbers if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}",
    "{% for x in [] %}a{% else %}none{% endfor %}",
    "{% for x in undefinedname %}a{% else %}none{% endfor %}",
    "{% for x in nothing %}a{% endfor %}",
    "{% for x in 5 %}a{% endfor %}",
    "{% for c in emoji %}[{{ c }}]{% endfor %}",
    "{% for k in person %}{{ k }} {% endfor %}",
    "{% for k, v in person.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in person | items %}{{ k }};{% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}{{ a }}{% endfor %}",
    "{% for x in numbers %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 10 %}{% break %}{% endif %}{{ x }}{% else %}e{% endfor %}",
    "{% for x in [1] %}{% continue %}{% else %}else after continue{% endfor %}",
    "{% break %}",
    "{% for x in numbers recursive %}{{ x }}{% if x == 3 %}({{ loop([7, 8]) }}){% endif %}{{ loop.depth }}{% endfor %}",
    "{% for r in [[1, [2]]] recursive %}{% if r is iterable %}{{ loop(r) }}{% else %}{{ r }}{% endif %}{% endfor %}",
    "{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% for i in [1, 2] %}{{ given }}{% endfor %}{% set given = 'mine' %}{{ given }}",
    "{{ given }}{% for i in [1] %}{{ given }}{% endfor %}{% set given = 'mine' %}{{ given }}",
    "{% if false %}{% set given = 1 %}{% endif %}{{ given }}",
    "{% if true %}{% set fresh = 1 %}{% endif %}{{ fresh }}",
    "{% for i in [1] %}{% set inner = i %}{% endfor %}{{ inner }}",
    "{% set ns = namespace(n=0) %}{% for i in numbers %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    "{% set words.x = 1 %}",
    "{% set ns = namespace() %}{% set ns._private = 1 %}",
    "{{ namespace(_a=1) }}",
    "{% set ns = namespace(a=1, b='x') %}{{ ns }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = [1] %}",
    "{% set x %}  text {{ name }}\n{% endset %}[{{ x }}]",
    "{% set x | upper | trim %}  text {% endset %}[{{ x }}]",
    "{% filter upper %}abc{{ name }}{% endfilter %}",
    "{% with a = 1, b = name %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, c=3) }}{{ m() }}",
    "{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}body{% endcall %}",
    "{% macro m() %}{{ caller('x') }}{% endmacro %}{% call(v) m() %}<{{ v }}>{% endcall %}",
    "{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% macro m() %}{{ outer }}{% endmacro %}{% set outer = 1 %}{{ m() }}{% set outer = 2 %}{{ m() }}",
    "{% macro m() %}{{ given }}{% endmacro %}{{ m() }}{% set given = 2 %}{{ m() }}",
    "{% macro m(a) %}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}",
    "{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% generation %}a{{ name }}{% endgeneration %}",
    "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}",
    "{% set g = words | map('upper') %}{{ g | list }}{{ g | list }}",
    "{% set g = words | select %}{% for x in g %}{{ loop.length }}{{ x }}{% break %}{% endfor %}{{ g | list }}",
    "{% for x in words | map('upper') %}{{ x }}{{ loop.last }}{% endfor %}",
    "{% if undefinedname %}a{% elif nothing %}b{% else %}c{% endif %}",
    "{% if false %}{{ x | nope }}{% endif %}ok",
    "{% if true %}{{ x | nope }}{% endif %}ok",
    "{% if true %}{% for i in [] %}{{ i | nope }}{% endfor %}{% endif %}ok",
    "{{ 'a' if true else 'b' | nope }}",
    "{% print 'a', 1 %}",
    "{% set loop = 1 %}{% for x in [1] %}{{ loop.index }}{% endfor %}",
    "{% for x in [1] %}{% set loop = 1 %}{% endfor %}",
    "{% for loop in [1] %}{% endfor %}",
    "{% for x in [1, 2] %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% unknown %}",
    "{% if %}",
    "{{ 1 +",
    "{{ }}",
    "{% for x in words %}",
    "{{ 'unclosed }}",
    "{{ [1, 2 }}",
    "{{ a b }}",
    "{{ f(a=1, a=2) }}",
    "{% set true = 1 %}",
    "{% set 'a' = 1 %}",
    "{{ messages[0]['role'] }}{{ messages[0].content }}{{ messages[-1]['content'][0] }}",
    "{%- for m in messages -%}\n  {{- m.role + ': ' -}}\n  {{- m['content'] | trim }}\n{% endfor -%}\nend",
    "{% for m in messages %}\n    {% if loop.first %}\n        first\n    {% endif %}\n{% endfor %}",
    "{{- 'a' }}\n\n{{- 'b' }}\n",
    "line one\n   {% set x = 1 %}   \nline two",
    "{{ '\n' }}{{ 'a\r\nb' }}",
    "{% set j = joiner('; ') %}{{ j() }}a{{ j() }}b{{ j() }}c",
    "{% set c = cycler('x', 'y') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}",
    "{{ strftime_now is defined }}",
    "{% block a %}x{% endblock %}",
    "{% include 'x' %}",
]


class Recorder:
    def render(self, template):
        try:
            return _compile_jinja_template(template).render(**VARIABLES)
        except Exception:  # whatever a template may raise
            return None


recorder = Recorder()
templates = ["{{ " + expression + " }}" for expression in EXPRESSIONS] + STATEMENTS
golden = {"variables": VARIABLES, "cases": [[template, recorder.render(template)] for template in templates]}
(HERE / "jinja.json").write_text(json.dumps(golden, ensure_ascii=True, indent=0) + "\n")

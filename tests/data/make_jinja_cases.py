# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes tests/data/text/jinja_cases.json: what chat templates use of Jinja, and what it gives under transformers.

    python tests/data/make_jinja_cases.py
"""

import json
from pathlib import Path

from transformers.utils.chat_template_utils import _compile_jinja_template

FILE = Path(__file__).resolve().parent / "text" / "jinja_cases.json"

VARIABLES = {
    "schema": {"type": "object", "properties": {"b": {"type": "string", "enum": ["x", "y"]}, "a": {"type": "integer"}},
               "items": {"type": "number"}, "required": ["b"]},
    "text": "a <b> & \"c\" 'd' \\e\tf\n\u00e9\u2028\U0001f600\x7f",
    "numbers": [3, 1.5, -2, True], "words": ["pear", "Apple", "fig", "apple"], "nothing": None, "yes": True,
    "people": [{"name": "Ann", "age": 7, "at": {"home": 1}}, {"name": "Bob", "age": 5}, {"age": 7}],
    "empty": [], "odd": {"none": None, "small": 1e-7, "large": 1e22, "whole": 2.0, "deep": [{}, [], [{"k": "v"}]]},
}

CASES = """
{{ schema | tojson }}
{{ schema | tojson(indent=2) }}
{{ schema | tojson(indent=4, sort_keys=true) }}
{{ schema | tojson(separators=(',', ':')) }}
{{ odd | tojson }}{{ numbers | tojson }}{{ empty | tojson(indent=2) }}{{ (1, 'a') | tojson }}
{{ odd | tojson(indent='~') }}
{{ text | tojson }}
{{ text | tojson(ensure_ascii=true) }}
{{ missing | tojson }}
{{ text }}{{ [text] }}{{ odd }}{{ schema }}
{{ 1.0 }} {{ 0.1 }} {{ 1e16 }} {{ 1e15 }} {{ 2.5e-5 }} {{ 0.0001 }} {{ -0.0 }} {{ 10 / 4 }} {{ 4 / 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 1 + 1.5 }} {{ 2 * 1.5 }} {{ 1.0 == 1 }} {{ 1.5 > 1 }} {{ true + 1 }} {{ 'ab' * 2 }} {{ 2 * 'ab' }} {{ 'ab' * -1 }}
{% for k, v in schema.properties.items() %}{{ k }}={{ v.type }};{% endfor %}
{% for k, v in schema.properties | items %}{{ loop.index }}{{ k }};{% endfor %}{{ missing | items | list }}
{% for k, v in schema.properties | dictsort %}{{ k }};{% endfor %}{{ {'b': 1, 'A': 2, 'a': 3} | dictsort(true) }}
{{ {'b': 1, 'A': 2} | dictsort(by='value', reverse=true) }}
{% for k in schema %}{{ k }},{% endfor %}{% for c in 'a\u00e9' %}{{ c }},{% endfor %}{% for x in missing %}x{% endfor %}
{{ schema.items is defined }} {{ schema['items'].type }} {{ schema.items is mapping }} {{ schema.items is callable }} {{ schema.get('items').type }}
{{ schema.missing is defined }} {{ schema['get'] is defined }} {{ words.count('fig') }} {{ text.count is defined }}
{{ schema.keys() | list }} {{ people[0].values() | list }} {{ schema.properties | length }} {{ missing | length }}
{{ words | join(', ') }} {{ numbers | join }} {{ people[:2] | join('-', attribute='name') }} {{ ' + '.join(words) }}
{{ people | map(attribute='name') | list }} {{ people | map(attribute='name', default='?') | list }} {{ words | map('upper') | list }}
{{ people | map(attribute='at.home') | list }}
{{ people | map(attribute='at.home', default=0) | list }}
{{ people | selectattr('name', 'defined') | map(attribute='name') | join }} {{ people | selectattr('age', 'equalto', 7) | list | length }}
{{ people | rejectattr('name') | list }} {{ people | selectattr('age', 'gt', 5) | map(attribute='age') | list }}
{{ words | select('equalto', 'fig') | list }} {{ words | reject('in', ['fig', 'pear']) | list }} {{ [0, 1, ''] | select | list }}
{{ nothing | selectattr('a') | list }} {{ nothing | map('upper') | list }}
{{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ words | sort(reverse=true) }} {{ people | sort(attribute='age') | map(attribute='age') | list }}
{{ words | unique | list }} {{ words | unique(case_sensitive=true) | list }} {{ numbers | min }} {{ numbers | max }} {{ words | min }}
{{ numbers | sum }} {{ people | sum(attribute='age') }} {{ numbers | first }} {{ words | last }} {{ words | reverse | list }} {{ 'abc' | reverse }}
{{ ['a', 1] | sort }}
{{ '12' | int }} {{ ' 7 ' | int }} {{ 'x' | int }} {{ 'x' | int(3) }} {{ 2.9 | int }} {{ '2.9' | int }} {{ '1.5' | float }} {{ 'x' | float }} {{ -3 | abs }}
{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb' | indent(2, first=true) }}|{{ 'a\\n\\nb' | indent(2, blank=true) }}|{{ 'a\\nb' | indent('> ') }}
{{ 'aXbX' | replace('X', '-') }} {{ 'aXbX' | replace('X', '-', 1) }} {{ 'hELLO wORLD' | capitalize }} {{ 5 | string + 'x' }} {{ 3 | d(4) }}{{ missing | d(4) }}
{{ 'a b  c '.split() }} {{ 'a b c'.split(None, 1) }} {{ ' a b '.split(' ') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a b c '.split(maxsplit=1) }}
{{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith(('x',)) }} {{ 'a_b c'.title() }} {{ 'abc'.find('c') }} {{ 'abc'.find('x') }} {{ '12'.isdigit() }} {{ ''.isdigit() }}
{{ 'abcabc'.count('bc') }} {{ 'xabc'.removeprefix('x') }} {{ 'abcx'.removesuffix('x') }} {{ 'Hello'.capitalize() }}
{{ '{} {}'.format('a', 1) }} {{ '{1}{0}{{}}'.format('a', 'b') }} {{ 'x{name}'.format(name=none) }}
{{ text[0] }}{{ text[2:5] }}{{ text[::-1] == text }}{{ 'h\u00e9llo'[1] }}{{ 'h\u00e9llo'[-4:-1] }}{{ 'ab'[7] is defined }}
{{ words[-2:] }} {{ (1, 2, 3)[1:] }} {{ words[:1] + ['z'] }} {{ (1,) + (2,) }} {{ [1] == (1,) }}
{{ {'a': 1, 'b': [1, 2]}.b[1] }} {{ {'a': 1} == {'a': 1.0} }} {{ 'a' in {'a': 1} }} {{ 1 in {'a': 1} }} {{ dict(a=1, b='x') }} {{ {'a': 1}['a'] }}
{{ 'x' in missing }} {{ none in [1, none] }} {{ 3 in (1, 3) }} {{ 'a' in words }}
{% set a, b = (1, 2) %}{{ b }}{{ a }}{% set c, d = words[:2] %}{{ d }}{% set e = 1, 2 %}{{ e }}
{% for (a, b) in [(1, 2), (3, 4)] %}{{ a }}{{ b }} {% endfor %}
{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x > 4 %}{% break %}{% endif %}{{ x }}{% else %}never{% endfor %}
{% for x in words %}{% for y in words %}{% break %}{% endfor %}{{ loop.index }}{% endfor %}
{% set x %}{% set y = 1 %}block{{ y }}{% endset %}{{ x }}{{ y is defined }}
{% generation %}{% set y = 1 %}said{% endgeneration %}{{ y is defined }}
{{ -3 | abs }} {{ - 2 + 3 }} {{ +1 }} {{ not not yes }} {{ 7 is divisibleby(7) }} {{ 7 is divisibleby 7 }} {{ 3 is odd and 4 is even }}
{{ 1 is number }} {{ 1 is integer }} {{ 1.0 is float }} {{ true is integer }} {{ 'a' is in words }} {{ 'fig' is in words }} {{ 1 is eq 1 }} {{ 1 is ne(2) }} {{ 2 is gt 1 }} {{ () is sequence }} {{ range is callable }}
{{ raise_exception is defined }} {{ strftime_now is defined }} {{ namespace is defined }} {{ nobody is defined }}
{% macro m(x) %}{{ x }}{% endmacro %}{{ m is defined }} {{ m(3) }} {{ n is defined }}
{% if false %}{{ x | from_json }}{% endif %}{{ 1 if true else (2 | from_json) }}{{ (2 is weird) if false }}
{{ 1 | from_json }}
{% if true %}{% for x in [] %}{{ x | from_json }}{% endfor %}{% endif %}
{% if true %}{{ 2 | from_json }}{% endif %}
{{ words.append('x') }}
{{ schema.update({}) }}
{{ people[2].name.first }}
{% set ns = namespace({'a': 1}, b=2) %}{% set ns.c = [ns.a] %}{{ ns.a }}{{ ns.b }}{{ ns.c }}
{% break %}
{{ '\\u2581\\x41\\d\\a' | tojson }}{{ 'a\\
b' }}
{{ 'safe' | safe }}{{ '%s' }}{{ 1 ~ none ~ [1] ~ 'x' }}{{ 'a' 'b' }}
{%- set content = 'x' if nothing is none else nothing %}{{ content }}{{ 'no' if yes is not defined }}
{{ schema.properties.b.enum | tojson | length }}{{ [1, 2, 3][1] }}{{ odd.deep[2][0].k }}{{ odd.none is none }}
{%- for m in people %}{%- if loop.previtem is defined and m.age < loop.previtem.age %}<{%- endif %}{{ m.age }}{%- endfor %}
""".strip("\n").replace("\\\n", "\x00").split("\n")


def outcome(source: str) -> dict:
    try:
        return {"text": _compile_jinja_template(source).render(**VARIABLES)}
    except Exception:  # whatever a template can do wrong  # noqa: BLE001
        return {"refused": True}


def main() -> None:
    rows = [{"source": source} | outcome(source) for source in (case.replace("\x00", "\\\n") for case in CASES)]
    lines = ",\n".join(json.dumps(row) for row in rows)
    FILE.write_text(f'{{"variables": {json.dumps(json.dumps(VARIABLES))},\n"cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()

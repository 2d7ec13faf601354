"""Golden data of chat templates: what jinja2, set up as transformers does, makes of templates in the styles that models use.

    python make_lm_jinja.py OUT_FILE      (tests/data/lm/jinja.json)

A list of {name, template, variables, text}; text is null where the template raises. Needs jinja2.
"""

from __future__ import annotations

import json
import sys

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

TURNS = """{% for message in messages %}
{% if message['role'] == 'system' %}
{{ 'System: ' + message['content'] | trim + '\\n\\n' }}
{%- elif message.role == "user" -%}
    {{ 'User: ' + message['content'] | trim + '\\n\\n' }}
{%- else %}{{ 'Assistant: ' + message['content'] | trim + '\\n\\n' }}{% endif %}
{% endfor %}
{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"""

CHATML = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

ALTERNATING = """{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif %}
{{- bos_token }}
{%- for message in loop_messages %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
{%- if message['role'] == 'user' %}
    {%- if loop.first and system_message is defined %}
        {{- '[INST] ' + system_message + '\\n\\n' + message['content'] + '[/INST]' }}
    {%- else %}
        {{- '[INST] ' + message['content'] + '[/INST]' }}
    {%- endif %}
{%- else %}
    {{- ' ' ~ message['content'] | trim ~ eos_token }}
{%- endif %}
{%- endfor %}"""

THINKING = """{%- set ns = namespace(last=-1, found=false) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if not ns.found and message.role == "user" and not (message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.last = index %}
        {%- set ns.found = true %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<a' ~ loop.index0 ~ '>' + content + (loop.last and '!' or '') }}
    {%- else %}
        {{- '<' ~ message.role[0] | upper ~ '>' ~ message.content }}
    {%- endif %}
{%- endfor %}
{{- '\\n' if ns.last >= 0 else '' }}{{ ns.last }}"""

TOOLS = """{%- macro describe(tool, deep=true) -%}
{{ tool.name }}({% for name, value in tool.parameters.items() %}{{ name }}: {{ value | tojson }}{{ ", " if not loop.last }}{% endfor %}){% if deep %}: {{ tool.description | default('no description', true) }}{% endif %}
{%- endmacro -%}
{% if tools is defined and tools %}
# Tools
{% for tool in tools | sort(attribute='name') if false %}{% else %}{% for tool in tools %}
- {{ describe(tool) }}
{% endfor %}{% endfor %}
{{ tools | map(attribute='name') | join(', ') }}
{{ tools[0] | tojson(indent=2) }}
{% endif -%}
{% for m in messages | selectattr('role', 'equalto', 'user') | list %}{{ m.content | length }} {% endfor %}
{% set text %}block {{ 1 + 2 * 3 - 4 // 3 }}{% endset %}{{ text | upper | replace('BLOCK', 'b') }}
{%- for i in range(2, 9, 3) %}{% if i == 8 %}{% break %}{% endif %} {{ i }}{% endfor %}
{#- a comment -#}
   {{ messages | map(attribute='role') | unique | list | length }} {{ {'a': 1, "b": [true, none, 2.5]} | tojson }}
{{ "x" if messages is iterable and messages is not mapping else "y" }} {{ 7 % 3 }} {{ -7 // 2 }} {{ 'abc'[1:] ~ 'abc'[-1] ~ 'äöü'[::-1] }}
{{ 'a,b,,c'.split(',') | join('|') }} {{ '  x '.strip() }}{{ ' Hello world' | title | trim }} {{ not false and 1 < 2 <= 2 or none }}"""
TOOLS = TOOLS.replace(" | sort(attribute='name') if false", " if false").replace("1 < 2 <= 2", "1 < 2")

CONVERSATIONS = {
    "one": [{"role": "user", "content": " Hi there\n"}],
    "system": [{"role": "system", "content": "Be <brief> & \"kind\"."}, {"role": "user", "content": "Hé 你好"}],
    "long": [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "first\n\nparagraph"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nanswer one"},
        {"role": "user", "content": "second"},
        {"role": "assistant", "content": " answer two "},
        {"role": "user", "content": "<tool>x</tool>"},
    ],
    "wrong": [{"role": "assistant", "content": "I begin"}],
    "twice": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
}
TOOL_LIST = [
    {"name": "look", "parameters": {"where": {"type": "string"}, "deep": True}, "description": "Looks."},
    {"name": "go", "parameters": {}, "description": ""},
]


def main() -> None:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: object, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    cases = []
    for name, template in {"turns": TURNS, "chatml": CHATML, "alternating": ALTERNATING, "thinking": THINKING, "tools": TOOLS}.items():
        for conversation, messages in CONVERSATIONS.items():
            for follows in (False, True):
                variables = {"messages": messages, "add_generation_prompt": follows, "bos_token": "<s>", "eos_token": "</s>"}
                if name == "tools" and follows:
                    variables["tools"] = TOOL_LIST
                try:
                    text = environment.from_string(template).render(**variables)
                except TemplateError:
                    text = None
                cases.append({"name": f"{name}/{conversation}/{follows}", "template": template, "variables": variables, "text": text})
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(cases, file, ensure_ascii=False, indent=0)
    print(len(cases), "cases")


if __name__ == "__main__":
    main()

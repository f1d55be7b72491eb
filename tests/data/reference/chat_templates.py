# SPDX-License-Identifier: GPL-3.0-or-later
"""Chat templates that use what templates in the wild use, and conversations to render with them."""

PLAIN = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
         "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

DEMO = ("{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] "
        "+ '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}")

DEFAULT_SYSTEM = """\
{%- if tools %}
    {{- 'never reached: ' + (tools | tojson) }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if message.role != "system" or not loop.first %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# Thoughts of earlier turns are cut out, those after the last question stay.
THINKING = """\
{%- set ns = namespace(searching=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "assistant" %}
        {%- set thought = '' %}
        {%- if message.thought is defined and message.thought is not none %}
            {%- set thought = message.thought %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<|im_start|>' ~ message.role ~ '\\n<think>\\n' ~ thought.strip('\\n') ~ '\\n</think>\\n\\n' ~ content }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

# Text outside the tags, where white space matters: trim_blocks, lstrip_blocks and the signs in the tags.
RAW_TEXT = """\
{# a comment #}
{%- for message in messages %}
  {% if message.role == 'assistant' %}
<|im_start|>assistant
{{ message.content }}<|im_end|>
  {% else %}
<|im_start|>{{ message['role'] }}
{{ message['content'] | trim }}<|im_end|>
  {% endif %}
{% endfor %}
   {% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}

"""

MACRO = """\
{% macro show(m, end='<|im_end|>') %}
<|im_start|>{{ m.role }}
{{ m.content }}{{ end }}
{% endmacro %}
{%+ set total = messages | length %}
{% for m in messages if m.role != 'tool' -%}
{{ show(m) }}
{%- if not loop.last %}

{%- endif %}
{%- endfor -%}
{% set tail %}<|im_start|>assistant{{ '\\n' }}{% endset %}
{{ tail if add_generation_prompt else 'no' }}{{ '' if total // 2 * 2 == total else eos_token }}
"""

HEADERS = ("{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' "
           "+ m.content + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
           "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")

# Refuses what does not alternate, and has no place for the system but in the first question.
INSTRUCTIONS = """\
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate user/assistant') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {%- if loop.first and system_message is defined %}
            {{- ' [INST] ' + system_message + '\\n\\n' + message['content'] + ' [/INST]' }}
        {%- else %}
            {{- ' [INST] ' + message['content'] + ' [/INST]' }}
        {%- endif %}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + message['content'] + eos_token }}
    {%- else %}
        {{- raise_exception('only user and assistant roles are supported') }}
    {%- endif %}
{%- endfor %}
"""

BARE = "{% for m in messages %}{{ m.content }}{% endfor %}"

TEMPLATES = {"headers": HEADERS, "instructions": INSTRUCTIONS, "bare": BARE, "plain": PLAIN, "demo": DEMO, "default_system": DEFAULT_SYSTEM, "thinking": THINKING, "raw_text": RAW_TEXT,
        "macro": MACRO}


def chat(*turns: tuple[str, str]) -> list[dict]:
    return [{"role": role, "content": content} for role, content in turns]


CHATS = [
    chat(("user", "Hi")),
    chat(("user", "")),
    chat(("system", "You are brief."), ("user", "Hello <|im_end|> 你好\n")),
    chat(("user", "  a \n"), ("assistant", "<think>\nhm\n\n</think>\n\nYes."), ("user", "b")),
    chat(("system", "s"), ("user", "u1"), ("assistant", "a1"), ("user", "u2"),
         ("assistant", "<think>x</think>a2"), ("user", "u3")),
    chat(("user", "q"), ("assistant", "<think>\nreason\n</think>\n\nso far")),
    chat(("user", "<tool>x</tool>")),
    chat(("user", "a"), ("system", "in the middle"), ("user", "c")),
    chat(("assistant", "first"), ("user", "x")),
    chat(("user", "line 1\r\nline 2\t{{ x }} {% y %}")),
]

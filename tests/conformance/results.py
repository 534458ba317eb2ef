# SPDX-License-Identifier: Apache-2.0
"""The table of results: read, written, compared."""
import os
from xml.sax.saxutils import quoteattr

HERE = os.path.dirname(os.path.abspath(__file__))


def lines(file):
    """What a list names; lines with # are remarks."""
    path = os.path.join(HERE, file)
    if not os.path.exists(path):
        return []
    with open(path) as f:
        return [x for x in (line.rstrip('\n') for line in f) if x and not x.startswith('#')]


def behaviours():
    return [line.split('\t')[1] for line in lines('behaviours.tsv')]


def causes():
    """{behaviour or its beginning: why it is not tested, or why it fails}."""
    return [line.split('\t') for line in lines('causes.tsv')]


def cause_of(name, rows):
    """The cause whose beginning of a name is the longest that fits."""
    fit = [r for r in rows if name.startswith(r[0])]
    return max(fit, key=lambda r: len(r[0]))[1] if fit else ''


def old():
    """{behaviour: (result, why)} of the table as it is."""
    found = {}
    for line in lines('RESULTS.md'):
        parts = line.split(' | ')
        if len(parts) >= 3 and line.startswith('| ') and '[sig-' in line:
            found[parts[0][2:]] = parts[1], ' | '.join(parts[2:]).rstrip(' |')
    return found


def record(outcomes, tests):
    """Writes RESULTS.md and passing.txt, keeping what was not tested now."""
    rows, before, table = causes(), old(), {}
    for name in behaviours():
        if name in outcomes:
            result, text = outcomes[name][:2]
            why = '' if result == 'passed' else cause_of(name, rows) or \
                ' '.join(text.split())[:160].replace('|', '/')
        elif name in tests:
            result, why = before.get(name, ('not run', ''))
            if result == 'not in scope yet':
                result, why = 'not run', ''
        else:
            result, why = 'not in scope yet', cause_of(name, rows) or 'no test'
        table[name] = result, why
    count = {}
    for result, _ in table.values():
        count[result] = count.get(result, 0) + 1
    with open(os.path.join(HERE, 'RESULTS.md'), 'w') as f:
        f.write('# Conformance behaviours\n\nWritten by `tests/conformance/run --record`; causes come from `causes.tsv`.\n\n')
        f.write(', '.join(f'{n} {result}' for result, n in sorted(count.items(), key=lambda x: -x[1])))
        f.write(f' of {len(table)}.\n\n| behaviour | result | why |\n|---|---|---|\n')
        for name, (result, why) in table.items():
            f.write(f'| {name} | {result} | {why} |\n')
    passing = set(lines('passing.txt')) | {n for n, (result, _) in table.items() if result == 'passed'}
    with open(os.path.join(HERE, 'passing.txt'), 'w') as f:
        f.write('# Behaviours that must go on passing: run --record adds to them, nothing takes them away.\n')
        f.writelines(n + '\n' for n in behaviours() if n in passing)


def junit(path, outcomes):
    with open(path, 'w') as f:
        f.write(f'<testsuite name="conformance" tests="{len(outcomes)}">\n')
        for name, (result, text, took) in outcomes.items():
            f.write(f'<testcase name={quoteattr(name)} time="{took:.2f}">')
            if result != 'passed':
                f.write(f'<{"skipped" if result == "skipped" else "failure"} message={quoteattr(text)}/>')
            f.write('</testcase>\n')
        f.write('</testsuite>\n')

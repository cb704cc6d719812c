"""The decision as JUnit XML, which build servers show: one test case a requirement."""

from xml.etree import ElementTree as ET

from harness.gate.decision import Decision, Standing, clean

SUITE = "notailcar gate"


def xml(decision: Decision) -> str:
    """Give a decision as JUnit XML.

    A refused requirement is a failure; one that is allowed counts as skipped, with the reason, so that nobody
    takes it for proven.
    """
    numbers = {
        "tests": str(len(decision.requirements)),
        "failures": str(len(decision.of(Standing.REFUSED))),
        "skipped": str(len(decision.of(Standing.ALLOWED))),
        "errors": "0",
    }
    suites = ET.Element("testsuites", name=SUITE, attrib=numbers)
    suite = ET.SubElement(suites, "testsuite", name=SUITE, attrib=numbers)
    for requirement in decision.requirements:
        about = clean(requirement.about)
        case = ET.SubElement(suite, "testcase", classname=about, name=clean(requirement.name), time="0")
        why = clean(requirement.why)
        match requirement.standing:
            case Standing.REFUSED:
                ET.SubElement(case, "failure", message=why).text = f"{about}, {requirement.name}: {why}"
            case Standing.ALLOWED:
                ET.SubElement(case, "skipped", message=why)
            case Standing.MET:
                ET.SubElement(case, "system-out").text = why
    if decision.notes:
        ET.SubElement(suite, "system-out").text = "\n".join(map(clean, decision.notes))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"

"""What people write down while they record: texts off an allow-list stay behind.

Annotations of EDF+ and FIF, comments, tags and entries of logs are free text, which may name a
person. One is kept where each of its words is of the practice of recording (`WORDS`), a number or
a code such as ``T0``; or where it is declared, as ``annotations=TEXT,TEXT`` or, for all of a
recording, ``annotations=keep``. In place of any other stands `REMARK`, at its time. Labels of
events that a program of stimuli wrote are data, and no business of this module.

References
----------
https://www.edfplus.info/specs/edftexts.html: texts for polygraphy, most of which pass.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from neurodata.declare import Declared
from neurodata.safe import Raw

KEY, KEEP, REMARK = "annotations", "keep", "remark"
DIGITS = 6  # of a text; more make a date, a number of a file or of a telephone
_WORDS = """
a absence acc acq after again alarm all alpha anaesthesia and anesthesia animal annotation
annotations any apnea apneas apnoea around arousal arousals artefact artefacts artifact
artifacts asystole at atrial attack auditory aura away back bad baseline bed before begin
beginning begins beta between blink blinking blinks block board body bolus both boundary
bradycardia break breath breathing bruxism burst button buttons cage cal calibration camera
central change channel channels check chew chewing cheyne clean clear click clonic close closed
closes closing comment complex condition connected control correct cough coughing count cross
cs cue dark day db deep default delay delta desaturation device digital discharge discharges
disconnect disconnected done door dose down drink drug dry due during each early eat eating ecg
edge eeg electroclinical electrode electrodes electrographic emg empty end ended ending ends
enter eog epileptic epileptiform epoch error event every excluded exit experiment external
extrasystole eye eyeblink eyes face false fast feet fibrillation file filter final finger
fingers first fist fists fixation flash flutter focal foot for free from full gain gamma gap
gaze generalised generalized go good grasp grip ground group half hand hands hard head hear
heart high hit house hv hyperventilation hypopnea hypopnoea hypoventilation hz ic ictal id ieeg
imagery imagined impedance impedances in incorrect infusion injection input inputs inside
instruction instructions interictal interval into is isoelectric jaw jerk jerks k kcomplex
keyboard keypress khz lamp laser last late led left leg legs level lick light lights limb line
list lm load long look loop loss lost loud low main manual marker maximum medium middle min
minimum minute minutes miss missing mixed mode model monitor mono montage more mouse mouth move
moved movement movements moves moving ms mu muscle mute myoclonic n name narcolepsy nc new next
no nod nogo noise noisy none nonrem normal not note nrem number object obstructive odd oddball
of off offset ok old on onset open opened opening opens or order other out output outside over
pac pair paroxysmal part pause paused period periodic phase photic photo picture pinch plm plms
point pointing polyspike port position post postictal practice pre preparation press probe
prone pulse pvc quiet r ramp random range rate rbd reach ready rec record recorded recorder
recording recordings reference release rem remark remove removed repeat replaced rera reset
resp respiration respiratory response responses rest resting resume resumed retry reward rhythm
right rmd room rotate round run s saccade saccades saline same sample save saved say scan
screen sec second seconds section sedation segment seizure seizures sequence serial series
session set setup sharp short show shutter side signal silent single sinus sit sitting skip
sleep sleeping slow small smile snore snores snoring soft sound speak speaking speech speed
spike spikes spindle spindles spo2 squeeze stable stage stand standard standing start started
starting starts state status step steps stereo stim stimulation stimuli stimulus stokes stop
stopped stopping stops strong supine suppression swallow swallowing sweat switch sync
synchronisation synchronization system t table tachycardia tactile tag talk talking tap tapping
target task template test testing text the then theta time timer to tone tongue tonic touch
trial trigger triggers ttl turn twitch type unit unknown until up upright uv value vertex very
video view visual w wait wake waking walk walking warning washout watch wave waves wc weak with
without word words wrong yawn zap zero
"""
WORDS = frozenset(_WORDS.split())
_WORD = re.compile(r"[^\W_]+")
_CODE = re.compile(r"[A-Za-z]{0,3}\d{1,5}[a-z]?|[A-Za-z]")
_NUMBERS = re.compile(r"\d+[\W_]+\d+[\W_]+\d+")


def is_label(text: str) -> bool:
    """Say whether a text has nothing but words of recording, numbers and codes.

    Examples
    --------
    >>> [is_label(text) for text in ("Sleep stage W", "Eyes closed", "S 12", "Jane moved")]
    [True, True, True, False]
    >>> [is_label(text) for text in ("born 12.03.51", "call 0123456789")]
    [False, False]
    """
    if _NUMBERS.search(text) or sum(letter.isdigit() for letter in text) > DIGITS:
        return False
    return all(word.casefold() in WORDS or _CODE.fullmatch(word) for word in _WORD.findall(text))


def passed(texts: Sequence[str], raw: Raw, declare: Declared, where: str = KEY) -> list[str]:
    """Return texts that people wrote; in place of one that is no label stands ``remark``.

    Parameters
    ----------
    declare : Declared
        ``annotations=keep``, or those to keep: ``annotations=TEXT,TEXT``.
    where : str
        What the finding is about.
    """
    stated = declare.text(KEY) or ""
    if stated.strip() == KEEP:
        return list(texts)
    named = {_folded(text) for text in stated.split(",")}
    kept = [is_label(text) or _folded(text) in named for text in texts]
    if lost := len(kept) - sum(kept):
        raw.note(
            where, f"{lost} texts that may name a person, removed", "words of recording and codes",
            f"if they name nobody: --set {KEY}={KEEP}, or some of them: --set '{KEY}=TEXT,TEXT'",
        )  # fmt: skip
    return [text if fine else REMARK for text, fine in zip(texts, kept, strict=True)]


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()

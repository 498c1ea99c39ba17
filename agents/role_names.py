"""What the two sides of a dialogue call each other, in the languages that packs are written in.

Invariant: a name belongs to one side. Which side a name is of decides whether a label at the begin of a reply is the
speaker's own (see `agents.speech`).
"""

from __future__ import annotations

import unicodedata
from typing import Literal

Side = Literal["tutor", "student", "model", "person", "system"]

_NAMES: dict[Side, str] = {
    "tutor": """
        Tutor, AI Tutor, Teacher, Instructor, Professor, Prof, Educator, Coach, Mentor, Tutorin, Lehrer, Lehrerin,
        Lehrkraft, Lehrperson, Professorin, Tuteur, Tutrice, Professeur, Professeure, Enseignant, Enseignante, Maître,
        Maîtresse, Profesor, Profesora, Maestro, Maestra, Tutora, Docente, Professora, Insegnante, Professore,
        Professoressa, Tutore, Docent, Leraar, Lerares, Leerkracht, Juf, Meester, Nauczyciel, Nauczycielka, Korepetytor,
        Učitel, Učitelka, Učiteľ, Učiteľka, Učitelj, Učiteljica, Nastavnik, Tanár, Profesoară, Învățător, Lärare, Lærer,
        Handledare, Opettaja, Õpetaja, Skolotājs, Mokytojas, Öğretmen, Eğitmen, Guru, Mwalimu, Giáo viên, Gia sư,
        Учитель, Учительница, Преподаватель, Преподавательница, Репетитор, Тьютор, Наставник, Вчитель, Вчителька,
        Викладач, Учител, Учителка, Δάσκαλος, Δασκάλα, Καθηγητής, Καθηγήτρια, 老师, 老師, 教师, 教師, 导师, 導師,
        辅导老师, 輔導老師, 助教, 先生, チューター, 講師, 선생님, 선생, 교사, 튜터, 강사, المعلم, معلم, المعلمة, معلمة,
        الأستاذ, أستاذ, الأستاذة, المدرس, مدرس, المدرسة, استاد, המורה, מורה, शिक्षक, शिक्षिका, अध्यापक, अध्यापिका, ट्यूटर,
        শিক্ষক, ครู, อาจารย์
    """,
    "student": """
        Student, Pupil, Learner, Schüler, Schülerin, Studentin, Lernender, Lernende, Élève, Étudiant, Étudiante, Eleve,
        Etudiant, Apprenant, Apprenante, Estudiante, Alumno, Alumna, Aluno, Aluna, Estudante, Studente, Studentessa,
        Alunno, Alunna, Allievo, Allieva, Leerling, Uczeń, Uczennica, Studentka, Žák, Žákyně, Žiak, Učenik, Učenica,
        Učenec, Diák, Tanuló, Elev, Elevă, Oppilas, Opiskelija, Õpilane, Skolēns, Mokinys, Öğrenci, Siswa, Murid,
        Pelajar, Mwanafunzi, Học sinh, Sinh viên, Ученик, Ученица, Студент, Студентка, Школьник, Школьница, Учень,
        Учениця, Ученичка, Μαθητής, Μαθήτρια, Φοιτητής, Φοιτήτρια, 学生, 學生, 同学, 同學, 学员, 生徒, 児童, 학생,
        الطالب, طالب, الطالبة, طالبة, التلميذ, تلميذ, التلميذة, شاگرد, دانش‌آموز, התלמיד, תלמיד, התלמידה, תלמידה, סטודנט,
        छात्र, छात्रा, विद्यार्थी, ছাত্র, ছাত্রী, শিক্ষার্থী, นักเรียน, นักศึกษา
    """,
    "model": """
        Assistant, AI Assistant, AI, Bot, Chatbot, Assistent, Assistentin, Assistente, Asistente, Assistante, Asystent,
        Asistan, Asisten, Trợ lý, Ассистент, Помощник, Асистент, ИИ, KI, IA, 助手, 助理, アシスタント, 어시스턴트,
        المساعد, עוזר, सहायक
    """,
    "person": """
        User, Human, Nutzer, Nutzerin, Benutzer, Mensch, Utilisateur, Utilisatrice, Humain, Usuario, Usuaria, Humano,
        Usuário, Utente, Gebruiker, Użytkownik, Uživatel, Kullanıcı, Pengguna, Användare, Bruger, Bruker, Käyttäjä,
        Người dùng, Пользователь, Человек, Користувач, 用户, 用戶, 使用者, 人类, 人類, ユーザー, 사용자,
        المستخدم, משתמש, उपयोगकर्ता
    """,
    "system": "System, Système, Sistema, Systeem, Systém, Система, 系统, 系統, システム, 시스템",
}
_COMMON = "AI, Bot, ИИ, KI, IA, Human, Mensch, Humain, Humano, Человек, 人类, 人類, Guru, Elev, Juf, Coach, Mentor"


def folded(name: str) -> str:
    """A name as it is looked up: composed, without case."""
    return unicodedata.normalize("NFC", name).casefold().replace("i\u0307", "i")


SIDES: dict[str, Side] = {folded(name.strip()): side for side, names in _NAMES.items() for name in names.split(",")}
"""Folded name to side."""
COMMON = frozenset(name for name, side in SIDES.items() if side == "system") | {
    folded(name.strip()) for name in _COMMON.split(",")
}
"""Names that are words of lessons too ("System: cart and block", "Human: 46 chromosomes")."""

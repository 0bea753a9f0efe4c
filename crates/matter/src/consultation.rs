//! Consultation (会商): several bodies look at one matter; what each said, the minutes, the decision.
//!
//! * Convened by the city on one or more matters. Each unit invited gets a *seat*, a matter of its own: it holds the question, the unit's opinion and
//!   (where the city shares it) the decision, and names no other unit. Experts and departments without an account speak through the city, which
//!   records who said it.
//! * Opinions and minutes are added, never changed. A decision closes the floor and is noted on every matter the consultation is about that
//!   takes notes, in the same transaction; acting on it (a level, an order) stays with those who may.
//! * Limits: 64 invited, 64 units, 200 opinions, 50 entries of minutes.

#[cfg(test)]
mod tests;

use event::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use warning::grade::Level;

use crate::ties::{self, Caller, LINE_MAX, TEXT_MAX, at_most};
use crate::{ActRow, Both, Card, Desk, Effects, FieldRow, Input, Kind, Matter, Permission, Refusal, field, id_of};

pub const INVITED_MAX: usize = 64;
pub const OPINIONS_MAX: usize = 200;
pub const MINUTES_MAX: usize = 50;
/// Characters of a decision that go into a note elsewhere.
const NOTE_MAX: usize = 1_500;
const REMIND_S: i64 = 15 * 60;

/// The consultation, or one unit's seat in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum Consultation {
    Main(Box<Main>),
    Seat(Box<Seat>),
}

/// The city's side: everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Main {
    pub id: String,
    pub title: Both,
    pub question: Both,
    /// Matters it is about.
    pub links: Vec<String>,
    #[serde(default)]
    pub exercise: bool,
    pub level: Option<Level>,
    /// Persons and bodies invited, by name.
    #[serde(default)]
    pub invited: Vec<String>,
    /// Units invited, each with its seat.
    #[serde(default)]
    pub seats: Vec<SeatRow>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub held_at: Option<Timestamp>,
    #[serde(default)]
    pub place: String,
    pub convened_by: String,
    #[serde(with = "crate::when")]
    pub convened: Timestamp,
    #[serde(default)]
    pub reminded: bool,
    #[serde(default)]
    pub opinions: Vec<Opinion>,
    #[serde(default)]
    pub minutes: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeatRow {
    pub unit: String,
    pub seat: String,
}

/// A unit's side: what it is asked, what it said, what it may know of the decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seat {
    pub id: String,
    pub consultation: String,
    pub unit: String,
    pub title: Both,
    pub question: Both,
    #[serde(default)]
    pub exercise: bool,
    pub level: Option<Level>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub held_at: Option<Timestamp>,
    #[serde(default)]
    pub place: String,
    #[serde(default)]
    pub opinions: Vec<Opinion>,
    /// Over; the decision where it was shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concluded: Option<Entry>,
}

/// What somebody thinks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    /// Who thinks so: a person, a body, a unit.
    pub who: String,
    /// Who wrote it down.
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub stance: Stance,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stance {
    For,
    Against,
    #[default]
    Neither,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    #[serde(default)]
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub by: String,
    #[serde(with = "crate::when")]
    pub at: Timestamp,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Units invited may read it.
    #[serde(default)]
    pub shared: bool,
    /// Matters it was noted on.
    #[serde(default)]
    pub noted: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    Convene(Box<Convene>),
    Speak {
        text: String,
        #[serde(default)]
        stance: Stance,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<Level>,
        #[serde(default)]
        who: String,
    },
    Minutes {
        text: String,
    },
    Decide {
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        level: Option<Level>,
        #[serde(default)]
        share: bool,
    },
    Close {
        #[serde(default)]
        note: String,
    },
    Cancel {
        reason: String,
    },
    /// The desk's own: a seat.
    Seat(Box<Invitation>),
    /// The desk's own: what a seat said.
    Heard {
        opinion: Opinion,
    },
    /// The desk's own, to a seat.
    Concluded {
        text: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convene {
    pub title: Both,
    pub question: Both,
    pub links: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invited: Vec<String>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub held_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    pub consultation: String,
    pub unit: String,
    pub title: Both,
    pub question: Both,
    pub exercise: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    #[serde(with = "crate::when::option", default, skip_serializing_if = "Option::is_none")]
    pub held_at: Option<Timestamp>,
    #[serde(default)]
    pub place: String,
}

const LEVELS: Input = Input::Choice(&["red", "orange", "yellow", "blue"]);
const LEVEL: FieldRow = field("level", false, LEVELS, "Level it should have", "认为应定的级别");

const fn row(
    word: &'static str,
    right: Option<Permission>,
    about: &'static str,
    about_zh: &'static str,
    fields: &'static [FieldRow],
) -> ActRow {
    ActRow { word, opens: false, right, about, about_zh, fields }
}

const WRITE: Option<Permission> = Some(Permission::ConsultationsWrite);
const SPEAK: Option<Permission> = Some(Permission::ConsultationsSpeak);

pub const ACTS: &[ActRow] = &[
    ActRow {
        opens: true,
        ..row(
            "convene",
            WRITE,
            "Convene",
            "召集会商",
            &[
                field("title", true, Input::Both, "What it is about, in one line", "议题"),
                field("question", true, Input::Both, "What is to be decided; units invited read this", "需研究决定的问题（受邀单位可见）"),
                field(
                    "links",
                    true,
                    Input::Words,
                    "Ids of what it is about: a warning, an incident, a campaign",
                    "关联的预警、安全事件等编号",
                ),
                field("units", false, Input::Words, "Units invited; each sees its own seat only", "受邀单位，各自只见本单位席位"),
                field("invited", false, Input::Words, "Experts, departments, bodies invited, by name", "受邀专家、部门"),
                field("held_at", false, Input::Time, "When it is held", "召开时间"),
                field("place", false, Input::Line, "Where, or the number to call", "地点或会议号"),
            ],
        )
    },
    row(
        "speak",
        SPEAK,
        "Give an opinion",
        "发表意见",
        &[
            field("text", true, Input::Text, "Opinion", "意见"),
            field("stance", false, Input::Choice(&["for", "against", "neither"]), "For, against, neither", "赞成、反对、其他"),
            LEVEL,
            field("who", false, Input::Line, "Whose opinion it is, where you write it down for somebody", "代他人记录时填写发表人"),
        ],
    ),
    row("minutes", WRITE, "Add to the minutes", "记录纪要", &[field("text", true, Input::Text, "Minutes", "纪要")]),
    row(
        "decide",
        WRITE,
        "Decide",
        "形成决定",
        &[
            field("text", true, Input::Text, "Decision; noted on what the consultation is about", "会商决定，将记入所关联的事项"),
            LEVEL,
            field("share", false, Input::Yes, "Units invited may read it", "向受邀单位公布"),
        ],
    ),
    row("close", WRITE, "Close", "结束", &[field("note", false, Input::Text, "Note", "备注")]),
    row("cancel", WRITE, "Call off", "取消", &[field("reason", true, Input::Text, "Why", "理由")]),
    ActRow {
        opens: true,
        ..row(
            "seat",
            None,
            "A unit's seat",
            "单位席位",
            &[field("consultation", true, Input::Line, "Consultation", "会商编号"), field("unit", true, Input::Line, "Unit", "单位")],
        )
    },
    row("heard", None, "A unit's opinion", "单位意见", &[field("opinion", true, Input::Json, "Opinion", "意见")]),
    row("concluded", None, "It is over", "会商结束", &[field("text", false, Input::Text, "Decision", "决定")]),
];

impl Matter for Consultation {
    const KIND: &'static str = "consultation";
    type Act = Act;

    fn name(act: &Act, desk: &Desk, key: Option<&str>) -> String {
        match act {
            Act::Seat(seat) => seat_id(&seat.consultation, &seat.unit),
            act => crate::fresh_id(Self::KIND, act, desk, key),
        }
    }

    fn open(id: &str, act: Act, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal> {
        match act {
            Act::Convene(convene) => Ok(Self::Main(Box::new(Main::convene(id, *convene, desk, out)?))),
            Act::Seat(seat) => Ok(Self::Seat(Box::new(Seat::open(id, *seat, desk, out)))),
            _ => Err(Refusal::because("only 'convene' opens a consultation", "只有“召集”可新建会商")),
        }
    }

    fn act(&mut self, act: Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        match self {
            Self::Main(main) => main.act(act, desk, out),
            Self::Seat(seat) => seat.act(act, desk, out),
        }
    }

    fn lapse(&mut self, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        if let Self::Main(main) = self {
            main.reminded = true;
            let title =
                Both::new(format!("会商即将开始：{}", main.title.pick(true)), format!("Consultation soon: {}", main.title.pick(false)));
            main.caller().tell(out, desk, city(), "soon", title.clone(), main.question.clone());
            for row in &main.seats {
                let caller = Caller { id: &row.seat, ..main.caller() };
                caller.tell(out, desk, ties::unit(&row.unit, "duty"), "soon", title.clone(), main.question.clone());
            }
        }
        Ok(())
    }

    fn card(&self) -> Card {
        match self {
            Self::Main(main) => Card {
                state: match (&main.closed, &main.decision) {
                    (Some(_), None) => "cancelled",
                    (Some(_), Some(_)) => "closed",
                    (None, Some(_)) => "decided",
                    (None, None) => "convened",
                },
                closed: main.closed.is_some(),
                level: main.level,
                title: main.title.clone(),
                units: Vec::new(),
                exercise: main.exercise,
                due: main
                    .held_at
                    .filter(|_| !main.reminded && main.decision.is_none() && main.closed.is_none())
                    .map(|t| t.plus_secs(-REMIND_S)),
                links: main.links.clone(),
            },
            Self::Seat(seat) => Card {
                state: match (&seat.concluded, seat.opinions.is_empty()) {
                    (Some(_), _) => "concluded",
                    (None, false) => "spoken",
                    (None, true) => "invited",
                },
                closed: seat.concluded.is_some(),
                level: seat.level,
                title: seat.title.clone(),
                units: vec![seat.unit.clone()],
                exercise: seat.exercise,
                due: None,
                links: vec![seat.consultation.clone()],
            },
        }
    }
}

fn seat_id(consultation: &str, unit: &str) -> String {
    id_of(Consultation::KIND, &[consultation, unit])
}

fn opinion(text: &str, stance: Stance, level: Option<Level>, who: &str, desk: &Desk) -> Result<Opinion, Refusal> {
    let who = ties::optional(who, LINE_MAX, "who", "发表人")?;
    Ok(Opinion {
        who: if who.is_empty() { desk.by.name.clone() } else { who },
        by: desk.by.name.clone(),
        at: desk.now,
        stance,
        level,
        text: ties::text(text, TEXT_MAX, "text", "意见")?,
    })
}

impl Main {
    fn convene(id: &str, mut convene: Convene, desk: &Desk, out: &mut Effects) -> Result<Self, Refusal> {
        if convene.links.is_empty() {
            return Err(Refusal::because("say what it is about: at least one id in 'links'", "请至少关联一件事项"));
        }
        let (exercise, level) = ties::tie(desk, &convene.links, false)?;
        convene.units.sort();
        convene.units.dedup();
        at_most(&convene.units, INVITED_MAX, "units", "受邀单位")?;
        convene.units.iter().try_for_each(|u| ties::known_unit(desk, u))?;
        at_most(&convene.invited, INVITED_MAX, "invited", "受邀专家、部门")?;
        if convene.held_at.is_some_and(|at| at < desk.now) {
            return Err(Refusal::because("'held_at' has passed already", "召开时间早于当前时间"));
        }
        let main = Self {
            id: id.to_owned(),
            title: ties::both(&convene.title, LINE_MAX, "title", "议题")?,
            question: ties::both(&convene.question, TEXT_MAX, "question", "问题")?,
            links: convene.links,
            exercise,
            level,
            invited: convene.invited.iter().map(|i| ties::text(i, LINE_MAX, "invited", "受邀专家、部门")).collect::<Result<_, _>>()?,
            seats: convene.units.iter().map(|unit| SeatRow { unit: unit.clone(), seat: seat_id(id, unit) }).collect(),
            held_at: convene.held_at,
            place: ties::optional(&convene.place, LINE_MAX, "place", "地点")?,
            convened_by: desk.by.name.clone(),
            convened: desk.now,
            // Too late for a reminder: the invitation is one.
            reminded: convene.held_at.is_none_or(|at| at.plus_secs(-REMIND_S) <= desk.now),
            opinions: Vec::new(),
            minutes: Vec::new(),
            decision: None,
            closed: None,
        };
        for row in &main.seats {
            out.open::<Consultation>(&Act::Seat(Box::new(Invitation {
                consultation: main.id.clone(),
                unit: row.unit.clone(),
                title: main.title.clone(),
                question: main.question.clone(),
                exercise,
                level,
                held_at: main.held_at,
                place: main.place.clone(),
            })));
        }
        let title = Both::new(format!("会商：{}", main.title.pick(true)), format!("Consultation: {}", main.title.pick(false)));
        main.caller().tell(out, desk, city(), "convened", title, main.question.clone());
        Ok(main)
    }

    fn act(&mut self, act: Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        if self.closed.is_some() {
            return Err(Refusal::because("the consultation is over; convene another one", "会商已结束，请另行召集"));
        }
        let decided = self.decision.is_some();
        let over = || Refusal::because("it is decided; only minutes are added", "已形成决定，仅可补充纪要");
        match act {
            Act::Convene(_) | Act::Seat(_) | Act::Concluded { .. } => Err(Refusal::because("it is convened already", "已召集")),
            Act::Speak { text, stance, level, who } => {
                if decided {
                    return Err(over());
                }
                self.hear(opinion(&text, stance, level, &who, desk)?)
            }
            Act::Heard { opinion } => self.hear(opinion),
            Act::Minutes { text } => {
                at_most(&self.minutes, MINUTES_MAX - 1, "minutes", "纪要")?;
                let text = ties::text(&text, TEXT_MAX, "text", "纪要")?;
                self.minutes.push(Entry { by: desk.by.name.clone(), at: desk.now, text });
                Ok(())
            }
            Act::Decide { text, level, share } => {
                if decided {
                    return Err(over());
                }
                let text = ties::text(&text, TEXT_MAX, "text", "决定")?;
                let noted = self.note(&text, level, desk, out)?;
                for row in &self.seats {
                    let text = if share { text.clone() } else { String::new() };
                    out.act::<Consultation>(&row.seat, &Act::Concluded { text });
                }
                self.decision = Some(Decision { by: desk.by.name.clone(), at: desk.now, text, level, shared: share, noted });
                Ok(())
            }
            Act::Close { note } => {
                if !decided {
                    return Err(Refusal::because("decide first, or call it off with a reason", "请先形成决定，或说明理由取消"));
                }
                self.closed =
                    Some(Entry { by: desk.by.name.clone(), at: desk.now, text: ties::optional(&note, TEXT_MAX, "note", "备注")? });
                Ok(())
            }
            Act::Cancel { reason } => {
                if decided {
                    return Err(over());
                }
                let text = ties::text(&reason, TEXT_MAX, "reason", "理由")?;
                self.closed = Some(Entry { by: desk.by.name.clone(), at: desk.now, text });
                for row in &self.seats {
                    out.act::<Consultation>(&row.seat, &Act::Concluded { text: String::new() });
                }
                Ok(())
            }
        }
    }

    fn hear(&mut self, opinion: Opinion) -> Result<(), Refusal> {
        at_most(&self.opinions, OPINIONS_MAX - 1, "opinions", "意见")?;
        self.opinions.push(opinion);
        Ok(())
    }

    /// On every matter it is about whose kind takes notes.
    fn note(&self, text: &str, level: Option<Level>, desk: &Desk, out: &mut Effects) -> Result<Vec<String>, Refusal> {
        let mut noted = Vec::new();
        for link in &self.links {
            let Some((kind, ..)) = ties::find(desk, link)? else { continue };
            if !takes_notes(kind) {
                continue;
            }
            let level = level.map(|l| format!(" [{}]", l.name())).unwrap_or_default();
            let text: String = text.chars().take(NOTE_MAX).collect();
            let note = format!("会商决定 {}{level}：{text}", self.id);
            out.acts.push(crate::Then { kind: kind.word, id: Some(link.clone()), act: json!({"act": "note", "text": note}) });
            noted.push(link.clone());
        }
        Ok(noted)
    }

    fn caller(&self) -> Caller<'_> {
        let thread = self.links.first().unwrap_or(&self.id);
        Caller { kind: Consultation::KIND, id: &self.id, thread, level: self.level, exercise: self.exercise }
    }
}

/// Its act `note` needs a text and nothing else.
fn takes_notes(kind: &Kind) -> bool {
    kind.act_row("note")
        .is_some_and(|row| row.fields.iter().all(|f| f.name == "text" || !f.required) && row.fields.iter().any(|f| f.name == "text"))
}

impl Seat {
    fn open(id: &str, invitation: Invitation, desk: &Desk, out: &mut Effects) -> Self {
        let seat = Self {
            id: id.to_owned(),
            consultation: invitation.consultation,
            unit: invitation.unit,
            title: invitation.title,
            question: invitation.question,
            exercise: invitation.exercise,
            level: invitation.level,
            held_at: invitation.held_at,
            place: invitation.place,
            opinions: Vec::new(),
            concluded: None,
        };
        let title =
            Both::new(format!("邀请会商：{}", seat.title.pick(true)), format!("Invited to a consultation: {}", seat.title.pick(false)));
        let (zh, en) = match seat.held_at {
            Some(at) => (format!("时间：{at}　{}\n", seat.place), format!("At {at} {}\n", seat.place)),
            None => (String::new(), String::new()),
        };
        let text = Both::new(format!("{zh}{}", seat.question.pick(true)), format!("{en}{}", seat.question.pick(false)));
        let caller = Caller { kind: Consultation::KIND, id: &seat.id, thread: &seat.id, level: seat.level, exercise: seat.exercise };
        caller.tell(out, desk, ties::unit(&seat.unit, "duty"), "invited", title, text);
        seat
    }

    fn act(&mut self, act: Act, desk: &Desk, out: &mut Effects) -> Result<(), Refusal> {
        match act {
            Act::Speak { text, stance, level, who } if self.concluded.is_none() => {
                at_most(&self.opinions, OPINIONS_MAX / 4 - 1, "opinions", "意见")?;
                let mut opinion = opinion(&text, stance, level, &who, desk)?;
                self.opinions.push(opinion.clone());
                let name = desk.book.units.get(&self.unit).map_or(self.unit.as_str(), |u| u.name.as_str());
                opinion.who = format!("{name}：{}", opinion.who);
                out.act::<Consultation>(&self.consultation, &Act::Heard { opinion });
                Ok(())
            }
            Act::Concluded { text } if self.concluded.is_none() => {
                self.concluded = Some(Entry { by: desk.by.name.clone(), at: desk.now, text });
                Ok(())
            }
            Act::Speak { .. } | Act::Concluded { .. } => Err(Refusal::because("the consultation is over", "会商已结束")),
            _ => Err(Refusal::because("this is a unit's seat; the consultation itself is the city's", "这是单位席位，请对会商本身操作")),
        }
    }
}

fn city() -> crate::Recipient {
    crate::Recipient::City { right: Permission::ConsultationsSpeak }
}

//! The words of the screen, in the languages that there are.

/// A language of the screen. Messages of steps and errors are English.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Italian.
    Italian,
}

impl Language {
    /// The words.
    pub fn words(self) -> &'static Words {
        match self {
            Language::English => &ENGLISH,
            Language::Italian => &ITALIAN,
        }
    }
}

/// Everything that the rail says by itself.
pub struct Words {
    pub phases: [&'static str; 6],
    pub gone: &'static str,
    pub to_go: &'static str,
    pub of: &'static str,
    pub late: &'static str,
    pub blocks: &'static str,
    pub nothing_blocks: &'static str,
    pub later: &'static str,
    pub planned: &'static str,
    pub then: &'static str,
    pub failed: &'static str,
    pub keys: &'static str,
    pub asked: &'static str,
}

static ENGLISH: Words = Words {
    phases: ["Checks", "Cloud", "Cluster", "Flux", "Treasures", "Cutover"],
    gone: "gone",
    to_go: "to go",
    of: "of",
    late: "LATE",
    blocks: "Blocks now",
    nothing_blocks: "nothing",
    later: "The end is later than said before",
    planned: "planned",
    then: "Then",
    failed: "FAILED",
    keys: "[r] rail  [d] details  [l] log  [p] plain  [i] italiano  [q] abort and wipe",
    asked: "Abort, wipe and power off? What stands in the cloud is kept.  [y] yes  [n] no",
};

static ITALIAN: Words = Words {
    phases: ["Verifiche", "Cloud", "Cluster", "Flux", "Tesori", "Passaggio"],
    gone: "trascorsi",
    to_go: "mancanti",
    of: "di",
    late: "IN RITARDO",
    blocks: "Blocca ora",
    nothing_blocks: "niente",
    later: "La fine slitta rispetto a prima",
    planned: "previsti",
    then: "Poi",
    failed: "FALLITO",
    keys: "[r] quadro [d] dettagli [l] registro [p] righe [i] english [q] ferma e cancella",
    asked: "Fermare, cancellare e spegnere? Il cloud resta com'e'.  [y] si'  [n] no",
};

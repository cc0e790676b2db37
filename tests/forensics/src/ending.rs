//! The ways in which a boot may end.

/// How a boot ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The power button is pressed when the vault is open.
    PowerButton,
    /// `q` and `y` when the vault is open.
    AbortKey,
    /// All is typed on the emulated keyboard and shown on the screen; the work fails for want of a network, the laptop asks, and `p` is pressed.
    FailedOnScreen,
    /// The stick is pulled out when the vault is open.
    StickPulled,
    /// The agent crashes when the vault is open.
    Crash,
    /// The agent panics when the vault is open.
    Panic,
    /// Memory runs out when the vault is open.
    OutOfMemory,
    /// `q` and `y` when the vault is open, and wiping never comes to its end.
    WipingHangs,
    /// Half a passphrase is typed, and nobody comes back.
    IdleAtPrompt,
    /// Ctrl-D at the prompt.
    CtrlD,
    /// The power button at the prompt, with half a passphrase typed.
    PowerButtonAtPrompt,
}

impl Ending {
    /// Those of the short form: both ways in, two ways out, and what the machine holds while it asks.
    pub const SHORT: &[Ending] = &[Ending::AbortKey, Ending::FailedOnScreen];
    /// All of them.
    pub const ALL: &[Ending] = &[
        Ending::AbortKey,
        Ending::FailedOnScreen,
        Ending::PowerButton,
        Ending::StickPulled,
        Ending::Crash,
        Ending::Panic,
        Ending::OutOfMemory,
        Ending::WipingHangs,
        Ending::IdleAtPrompt,
        Ending::CtrlD,
        Ending::PowerButtonAtPrompt,
    ];

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Ending::AbortKey => "serial line; abort by key while unlocked",
            Ending::FailedOnScreen => {
                "keyboard (French layout, taken at the prompt) and screen; the work fails, then power off by key"
            }
            Ending::PowerButton => "serial line; power button while unlocked",
            Ending::StickPulled => "serial line; stick pulled out while unlocked",
            Ending::Crash => "serial line; the agent crashes while unlocked",
            Ending::Panic => "serial line; the agent panics while unlocked",
            Ending::OutOfMemory => "serial line; memory runs out while unlocked",
            Ending::WipingHangs => "serial line; abort by key while unlocked, and wiping hangs",
            Ending::IdleAtPrompt => "serial line; half a passphrase, then nobody",
            Ending::CtrlD => "serial line; Ctrl-D at the prompt",
            Ending::PowerButtonAtPrompt => "serial line; half a passphrase, then the power button",
        }
    }

    /// Whether it begins before the vault is open.
    pub fn at_prompt(self) -> bool {
        matches!(self, Ending::IdleAtPrompt | Ending::CtrlD | Ending::PowerButtonAtPrompt)
    }
}

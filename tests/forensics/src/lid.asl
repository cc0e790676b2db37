// A lid for a laptop that has none in QEMU, closed by a byte in the parallel port, which nothing else uses. A lid that is asked for its state asks to be asked
// again half a second later, and so on. The kernel forgets such a wish while it first opens a lid: so there are two, and at the beginning each asks for the other
// as well.
DefinitionBlock ("", "SSDT", 2, "SKYLAB", "LID", 1)
{
    Scope (\_SB)
    {
        OperationRegion (PORT, SystemIO, 0x378, 1)
        Field (PORT, ByteAcc, NoLock, Preserve) { DATA, 8 }
        Name (ASKD, 0)
        Device (LID0)
        {
            Name (_HID, EisaId ("PNP0C0D"))
            Name (_UID, 0)
            Method (_LID, 0, Serialized)
            {
                Sleep (500)
                Notify (\_SB.LID0, 0x80)
                If (LLess (ASKD, 8))
                {
                    Increment (ASKD)
                    Notify (\_SB.LID1, 0x80)
                }
                Return (LNotEqual (DATA, 0x5A))
            }
        }
        Device (LID1)
        {
            Name (_HID, EisaId ("PNP0C0D"))
            Name (_UID, 1)
            Method (_LID, 0, Serialized)
            {
                Sleep (500)
                Notify (\_SB.LID1, 0x80)
                If (LLess (ASKD, 8))
                {
                    Increment (ASKD)
                    Notify (\_SB.LID0, 0x80)
                }
                Return (LNotEqual (DATA, 0x5A))
            }
        }
    }
}

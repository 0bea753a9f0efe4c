//! Interfaces worth a name and the operations of theirs that people move through networks with (numbers: the MS- documents of each).

/// An interface and the operations that have a name here.
pub(super) struct Interface {
    pub uuid: &'static str,
    pub name: &'static str,
    operations: &'static [(u16, &'static str)],
}

impl Interface {
    pub(super) fn operation(&self, opnum: u16) -> Option<&'static str> {
        self.operations.iter().find(|o| o.0 == opnum).map(|o| o.1)
    }
}

/// A UUID as people write it; its first three parts lie little-endian.
pub(super) fn text(u: [u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, tail @ ..] = u;
    let [i, j, k, l, m, n, o, p] = tail;
    format!("{d:02x}{c:02x}{b:02x}{a:02x}-{f:02x}{e:02x}-{h:02x}{g:02x}-{i:02x}{j:02x}-{k:02x}{l:02x}{m:02x}{n:02x}{o:02x}{p:02x}")
}

pub(super) fn find(uuid: &str) -> Option<&'static Interface> {
    INTERFACES.iter().find(|i| i.uuid == uuid)
}

static INTERFACES: &[Interface] = &[
    Interface {
        uuid: "367abb81-9844-35f1-ad32-98f038001003",
        name: "svcctl",
        operations: &[
            (0, "CloseServiceHandle"),
            (1, "ControlService"),
            (2, "DeleteService"),
            (11, "ChangeServiceConfigW"),
            (12, "CreateServiceW"),
            (14, "EnumServicesStatusW"),
            (15, "OpenSCManagerW"),
            (16, "OpenServiceW"),
            (19, "StartServiceW"),
            (24, "CreateServiceA"),
            (27, "OpenSCManagerA"),
            (28, "OpenServiceA"),
            (31, "StartServiceA"),
            (45, "CreateServiceWOW64W"),
            (60, "CreateWowService"),
        ],
    },
    Interface {
        uuid: "12345778-1234-abcd-ef00-0123456789ac",
        name: "samr",
        operations: &[
            (5, "SamrLookupDomainInSamServer"),
            (6, "SamrEnumerateDomainsInSamServer"),
            (7, "SamrOpenDomain"),
            (11, "SamrEnumerateGroupsInDomain"),
            (12, "SamrCreateUserInDomain"),
            (13, "SamrEnumerateUsersInDomain"),
            (15, "SamrEnumerateAliasesInDomain"),
            (17, "SamrLookupNamesInDomain"),
            (22, "SamrAddMemberToGroup"),
            (25, "SamrGetMembersInGroup"),
            (31, "SamrAddMemberToAlias"),
            (33, "SamrGetMembersInAlias"),
            (34, "SamrOpenUser"),
            (35, "SamrDeleteUser"),
            (36, "SamrQueryInformationUser"),
            (39, "SamrGetGroupsForUser"),
            (40, "SamrQueryDisplayInformation"),
            (50, "SamrCreateUser2InDomain"),
            (55, "SamrUnicodeChangePasswordUser2"),
            (58, "SamrSetInformationUser2"),
            (62, "SamrConnect4"),
            (64, "SamrConnect5"),
        ],
    },
    Interface {
        uuid: "12345778-1234-abcd-ef00-0123456789ab",
        name: "lsarpc",
        operations: &[
            (14, "LsarLookupNames"),
            (15, "LsarLookupSids"),
            (29, "LsarStorePrivateData"),
            (37, "LsarAddAccountRights"),
            (42, "LsarStorePrivateData"),
            (43, "LsarRetrievePrivateData"),
            (44, "LsarOpenPolicy2"),
            (46, "LsarQueryInformationPolicy2"),
            (57, "LsarLookupSids2"),
            (58, "LsarLookupNames2"),
        ],
    },
    Interface {
        uuid: "e3514235-4b06-11d1-ab04-00c04fc2dcd2",
        name: "drsuapi",
        operations: &[
            (0, "DRSBind"),
            (1, "DRSUnbind"),
            (2, "DRSReplicaSync"),
            (3, "DRSGetNCChanges"),
            (4, "DRSUpdateRefs"),
            (5, "DRSReplicaAdd"),
            (6, "DRSReplicaDel"),
            (12, "DRSCrackNames"),
            (13, "DRSWriteSPN"),
            (16, "DRSDomainControllerInfo"),
            (17, "DRSAddEntry"),
        ],
    },
    Interface {
        uuid: "4b324fc8-1670-01d3-1278-5a47bf6ee188",
        name: "srvsvc",
        operations: &[
            (8, "NetrConnectionEnum"),
            (9, "NetrFileEnum"),
            (12, "NetrSessionEnum"),
            (14, "NetrShareAdd"),
            (15, "NetrShareEnum"),
            (16, "NetrShareGetInfo"),
            (18, "NetrShareDel"),
            (21, "NetrServerGetInfo"),
            (31, "NetprPathCanonicalize"),
        ],
    },
    Interface {
        uuid: "6bffd098-a112-3610-9833-46c3f87e345a",
        name: "wkssvc",
        operations: &[(0, "NetrWkstaGetInfo"), (2, "NetrWkstaUserEnum"), (22, "NetrJoinDomain2")],
    },
    Interface {
        uuid: "338cd001-2244-31f1-aaaa-900038001003",
        name: "winreg",
        operations: &[
            (2, "OpenLocalMachine"),
            (6, "BaseRegCreateKey"),
            (15, "BaseRegOpenKey"),
            (17, "BaseRegQueryValue"),
            (20, "BaseRegSaveKey"),
            (22, "BaseRegSetValue"),
            (31, "BaseRegSaveKeyEx"),
        ],
    },
    Interface {
        uuid: "1ff70682-0a51-30e8-076d-740be8cee98b",
        name: "atsvc",
        operations: &[(0, "NetrJobAdd"), (1, "NetrJobDel"), (2, "NetrJobEnum"), (3, "NetrJobGetInfo")],
    },
    Interface {
        uuid: "86d35949-83c9-4044-b424-db363231fd0c",
        name: "ITaskSchedulerService",
        operations: &[(1, "SchRpcRegisterTask"), (12, "SchRpcRun"), (13, "SchRpcDelete")],
    },
    Interface {
        uuid: "12345678-1234-abcd-ef00-0123456789ab",
        name: "spoolss",
        operations: &[
            (0, "RpcEnumPrinters"),
            (1, "RpcOpenPrinter"),
            (10, "RpcEnumPrinterDrivers"),
            (65, "RpcRemoteFindFirstPrinterChangeNotificationEx"),
            (69, "RpcOpenPrinterEx"),
            (89, "RpcAddPrinterDriverEx"),
        ],
    },
    Interface {
        uuid: "76f03f96-cdfd-44fc-a22c-64950a001209",
        name: "IRemoteWinspool",
        operations: &[(0, "RpcAsyncOpenPrinter"), (39, "RpcAsyncAddPrinterDriver")],
    },
    Interface {
        uuid: "12345678-1234-abcd-ef00-01234567cffb",
        name: "netlogon",
        operations: &[
            (2, "NetrLogonSamLogon"),
            (4, "NetrServerReqChallenge"),
            (6, "NetrServerPasswordSet"),
            (15, "NetrServerAuthenticate2"),
            (21, "NetrLogonGetCapabilities"),
            (26, "NetrServerAuthenticate3"),
            (30, "NetrServerPasswordSet2"),
            (34, "DsrGetDcNameEx2"),
            (39, "NetrLogonSamLogonEx"),
            (45, "NetrLogonSamLogonWithFlags"),
        ],
    },
    Interface {
        uuid: "c681d488-d850-11d0-8c52-00c04fd90f7e",
        name: "efsrpc",
        operations: &[(0, "EfsRpcOpenFileRaw"), (4, "EfsRpcEncryptFileSrv"), (5, "EfsRpcDecryptFileSrv"), (6, "EfsRpcQueryUsersOnFile")],
    },
    Interface {
        uuid: "df1941c5-fe89-4e79-bf10-463657acf44d",
        name: "efsrpc",
        operations: &[(0, "EfsRpcOpenFileRaw"), (4, "EfsRpcEncryptFileSrv"), (5, "EfsRpcDecryptFileSrv"), (6, "EfsRpcQueryUsersOnFile")],
    },
    Interface {
        uuid: "4fc742e0-4a10-11cf-8273-00aa004ae673",
        name: "netdfs",
        operations: &[(12, "NetrDfsAddStdRoot"), (13, "NetrDfsRemoveStdRoot")],
    },
    Interface {
        uuid: "82273fdc-e32a-18c3-3f78-827929dc23ea",
        name: "eventlog",
        operations: &[(0, "ElfrClearELFW"), (1, "ElfrBackupELFW"), (7, "ElfrOpenELW"), (12, "ElfrClearELFA")],
    },
    Interface {
        uuid: "f6beaff7-1e19-4fbb-9f8f-b89e2018337c",
        name: "eventlog6",
        operations: &[(6, "EvtRpcClearLog"), (7, "EvtRpcExportLog")],
    },
    Interface { uuid: "e1af8308-5d1f-11c9-91a4-08002b14a0fa", name: "epmapper", operations: &[(2, "ept_lookup"), (3, "ept_map")] },
    Interface { uuid: "3dde7c30-165d-11d1-ab8f-00805f14db40", name: "BackupKey", operations: &[(0, "BackuprKey")] },
    Interface {
        uuid: "99fcfec4-5260-101b-bbcb-00aa0021347a",
        name: "IObjectExporter",
        operations: &[(3, "ServerAlive"), (5, "ServerAlive2")],
    },
    Interface {
        uuid: "000001a0-0000-0000-c000-000000000046",
        name: "IRemoteSCMActivator",
        operations: &[(3, "RemoteGetClassObject"), (4, "RemoteCreateInstance")],
    },
    Interface { uuid: "4d9f4ab8-7d1c-11cf-861e-0020af6e7c57", name: "IActivation", operations: &[(0, "RemoteActivation")] },
    Interface { uuid: "f309ad18-d86a-11d0-a075-00c04fb68820", name: "IWbemLevel1Login", operations: &[(6, "NTLMLogin")] },
    Interface {
        uuid: "9556dc99-828c-11cf-a37e-00aa003240c7",
        name: "IWbemServices",
        operations: &[(20, "ExecQuery"), (22, "ExecNotificationQuery"), (24, "ExecMethod")],
    },
    Interface { uuid: "8a885d04-1ceb-11c9-9fe8-08002b104860", name: "transfer_ndr", operations: &[] },
    Interface { uuid: "3919286a-b10c-11d0-9ba8-00c04fd92ef5", name: "dssetup", operations: &[(0, "DsRolerGetPrimaryDomainInformation")] },
    Interface { uuid: "dea00001-6c97-11d1-8271-00a02442df7d", name: "PNIO-CM", operations: &[] },
];
